// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/plain/plain_backend.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "engine/backend/backend_checks.h"
#include "engine/backend/intermediates.h"
#include "engine/cuda/kv_cache.h"
#include "engine/cuda/plain/forward.h"
#include "engine/cuda/step/capture_buffer.h"
#include "engine/cuda/step/step_input.h"
#include "engine/cuda/weights/memory_plan.h"

namespace expertscope::cuda::plain {
namespace {

constexpr int kQueryTile = 64;  // nothing reads the tiles that a step's input lists

/// The plain path knows f32 alone.
BackendOptions in_f32(BackendOptions options) {
  options.math = MathMode::f32;
  return options;
}

CheckedSize room_bytes(const ModelConfig& config, const BackendOptions& options) {
  Arena arena(nullptr);
  Room::place(config, options, arena);
  return arena.used();
}

Result<MemoryPlan> plan(const StoredWeights& weights, const ModelConfig& config,
                        const BackendOptions& options, std::int64_t free) {
  MemoryPlan plan;
  plan.weights = static_cast<std::int64_t>(weights.bytes());
  plan.workspace = signed_bytes(room_bytes(config, options));
  plan.staging = static_cast<std::int64_t>(2 * weights.staging_bytes());
  plan.resident_experts = config.num_experts();
  add_common(config, options, free, plan);
  if (auto ok = check_fits(plan, options); !ok) return forward_error(ok);
  return plan;
}

class PlainBackend final : public Backend {
 public:
  PlainBackend(std::shared_ptr<const Model> model, const BackendOptions& options, OpenedDevice device,
               std::string reason)
      : model_(std::move(model)), options_(in_f32(options)), weights_(model_->weights()) {
    info_ = {.kind = BackendKind::cuda,
             .reason = std::move(reason),
             .always_f32 = true,
             .device = std::move(device.info),
             .memory = {}};
  }
  ~PlainBackend() override;

  Status open(const OpenProgress& progress, const std::stop_token& stop);
  std::string description() const override { return fmt::format("CUDA plain f32 ({})", info_.device.name); }
  const BackendInfo& info() const override { return info_; }
  Status forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                 const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) override;
  void set_observer(TensorObserver* observer) override { observer_ = observer; }

 private:
  Status run_step(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                  const CaptureRequest& request, StepOutput& output, CaptureBlock* capture);
  Status take_head(const Step& step, const Batch& batch, StepOutput& output);
  Status explain(Queue& queue);

  std::shared_ptr<const Model> model_;
  BackendOptions options_;
  BackendInfo info_;
  Stream stream_;
  StoredWeights weights_;
  DeviceBuffer<std::uint8_t> memory_;
  Room room_ = {};
  KvCache cache_;
  RopeTables rope_;
  RoutingTables routing_;
  StepInput input_;
  CaptureBuffer capture_;
  std::vector<std::int32_t> wanted_;
  std::vector<float> logits_;
  TensorObserver* observer_ = nullptr;
};

PlainBackend::~PlainBackend() {
  // This thread may have used another device since.
  cudaSetDevice(options_.choice.device);
  if (stream_.get() != nullptr) cudaStreamSynchronize(stream_.get());
}

Status PlainBackend::open(const OpenProgress& progress, const std::stop_token& stop) {
  const ModelConfig& config = model_->config();
  auto planned = plan(weights_, config, options_, info_.device.memory_free);
  if (!planned) return forward_error(planned);
  info_.memory = *planned;
  const auto tell = loading_progress(info_, progress);
  tell(0);
  if (auto ok = stream_.create(); !ok) return ok;
  if (auto ok = cache_.allocate(config, options_); !ok) return ok;
  if (auto ok = memory_.allocate(room_bytes(config, options_).value(), "the workspace"); !ok) return ok;
  Arena arena(memory_.data());
  room_ = Room::place(config, options_, arena);
  if (auto ok = rope_.build(config, options_.max_context, stream_.get()); !ok) return ok;
  if (auto ok = routing_.allocate(config); !ok) return ok;
  if (auto ok = input_.allocate(options_, nullptr); !ok) return ok;
  if (auto ok = capture_.create(); !ok) return ok;
  if (auto ok = weights_.load(stream_.get(), tell, stop); !ok) return ok;
  for (int n = 0; n < config.num_layers(); ++n) {
    const StoredLayer& layer = weights_.layers[static_cast<std::size_t>(n)];
    routing_.set_weights(n, layer.correction_bias.data, layer.expert_scale.data);
  }
  return {};
}

/// The head in slices of rows, so that the memory for logits does not grow with the batch.
Status PlainBackend::take_head(const Step& step, const Batch& batch, StepOutput& output) {
  const auto rows = static_cast<int>(wanted_.size());
  const auto vocab = static_cast<std::size_t>(model_->config().vocab_size);
  norm_outputs(step);
  std::vector<float> seen;
  for (int first = 0; first < rows; first += room_.head_rows) {
    const auto slice = static_cast<std::size_t>(std::min(room_.head_rows, rows - first));
    head(step, first, static_cast<int>(slice));
    logits_.resize(slice * vocab);
    step.queue.copy(logits_.data(), room_.logits, logits_.size() * sizeof(float), cudaMemcpyDeviceToHost);
    step.queue.wait();
    if (auto ok = step.queue.take_status(); !ok) return ok;
    if (!std::all_of(logits_.begin(), logits_.end(), [](float logit) { return std::isfinite(logit); }))
      return not_finite(*model_, "the logits are not finite", -1);
    take_logits(batch, std::span(wanted_).subspan(static_cast<std::size_t>(first), slice),
                static_cast<std::size_t>(first), logits_, output);
    if (observer_ != nullptr) seen.insert(seen.end(), logits_.begin(), logits_.end());
  }
  if (!seen.empty()) observer_->observe(intermediate::kLogits, -1, seen, static_cast<int>(vocab));
  return {};
}

/// Waits for the layers, and says where NaN or infinity came up first.
Status PlainBackend::explain(Queue& queue) {
  std::vector<unsigned> flags(static_cast<std::size_t>(1 + model_->config().num_layers()));
  queue.copy(flags.data(), room_.not_finite, flags.size() * sizeof(unsigned), cudaMemcpyDeviceToHost);
  queue.wait();
  if (auto ok = queue.take_status(); !ok) return ok;
  const auto first = std::find_if(flags.begin(), flags.end(), [](unsigned flag) { return flag != 0; });
  if (first == flags.end()) return {};
  const auto layer = static_cast<int>(first - flags.begin()) - 1;
  const std::string where = layer < 0 ? "the embedding" : fmt::format("layer {}", layer);
  return not_finite(*model_, where + ": NaN or infinity in the hidden state", layer);
}

Status PlainBackend::run_step(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                              const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) {
  const ModelConfig& config = model_->config();
  Queue queue(stream_.get());
  prepare_output(batch, config, output);
  list_head_tokens(batch, wanted_);
  DeviceCapture probes;
  if (capture != nullptr) {
    prepare_capture(batch, *table, request, config, *capture);
    auto places = capture_.begin(*capture);
    if (!places) return forward_error(places);
    probes = *places;
  }
  routing_.upload(table, queue);
  input_.upload(batch, table->max_top_k, probes, kQueryTile, queue);
  queue.clear(room_.not_finite, static_cast<std::size_t>(1 + config.num_layers()) * sizeof(unsigned));
  const Step step{config,   weights_, room_,         cache_.view(), rope_,
                  routing_, *table,   input_.host(), observer_,     queue};
  run_layers(step);
  if (capture != nullptr) capture_.send_all(queue);
  if (auto ok = explain(queue); !ok) return ok;
  if (capture != nullptr) {
    if (auto ok = capture_.receive(*capture); !ok) return ok;
    unset_absent(config, *capture);
  }
  return take_head(step, batch, output);
}

Status PlainBackend::forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                             const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) {
  if (auto ok = check_batch(batch, options_, model_->config()); !ok) return ok;
  if (auto ok = check_table(table.get(), model_->config()); !ok) return ok;
  // The thread that steps may be another one than the thread that opened.
  if (auto ok = check(cudaSetDevice(options_.choice.device), "using the GPU"); !ok) return ok;
  Status ok;
  try {
    ok = run_step(batch, table, request, output, capture);
  } catch (const std::bad_alloc&) {
    ok = fail(ErrorCode::out_of_memory, "no memory for the logits and probes of {} tokens",
              batch.tokens.size());
  }
  // Whatever is still running reads and writes memory that is filled again.
  if (!ok) cudaStreamSynchronize(stream_.get());
  return ok;
}

}  // namespace

Result<MemoryPlan> plan_memory(const Model& model, const BackendOptions& options, std::int64_t free) {
  return plan(StoredWeights(model.weights()), model.config(), in_f32(options), free);
}

Result<std::unique_ptr<Backend>> make_backend(std::shared_ptr<const Model> model,
                                              const BackendOptions& options, OpenedDevice device,
                                              std::string reason, const OpenProgress& progress,
                                              const std::stop_token& stop) {
  auto backend =
      std::make_unique<PlainBackend>(std::move(model), options, std::move(device), std::move(reason));
  if (auto ok = backend->open(progress, stop); !ok) return forward_error(ok);
  return backend;
}

}  // namespace expertscope::cuda::plain
