// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <bit>
#include <new>

#include "engine/backend/backend_checks.h"
#include "engine/backend/intermediates.h"
#include "engine/cuda/can_run.h"
#include "engine/cuda/forward.h"
#include "engine/cuda/plain/plain_backend.h"
#include "engine/cuda/runtime/device.h"
#include "engine/cuda/runtime/step_graph.h"
#include "engine/cuda/step/capture_buffer.h"
#include "engine/cuda/step_results.h"
#include "engine/cuda/weights/memory_plan.h"

namespace expertscope::cuda {
namespace {

/// Decoder layers of a large batch whose probes travel together.
constexpr int kLayersOfAPiece = 8;

/// Slots per token. The MLP of a dense layer takes one, so a model without any router has one too.
int slots_of(const RoutingTable& table) {
  return std::max(1, table.max_top_k);
}

/// What becomes of the logits.
enum class HeadEnd : std::uint8_t { none, logits, candidates };

/// Sizes that steps of one token a sequence are recorded for: 1, 2, 4, .. kBatchTokens.
constexpr int kBuckets = std::bit_width(static_cast<unsigned>(kBatchTokens));

HeadEnd head_end(const Batch& batch, int rows) {
  if (rows == 0) return HeadEnd::none;
  const bool few = batch.logits == LogitsWanted::candidates && batch.candidates <= kMostCandidates;
  return few ? HeadEnd::candidates : HeadEnd::logits;
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::shared_ptr<const Model> model, const BackendOptions& options)
      : model_(std::move(model)), options_(options) {}
  ~CudaBackend() override;

  Status open(OpenedDevice device, std::string reason, const OpenProgress& progress,
              const std::stop_token& stop);
  std::string description() const override;
  const BackendInfo& info() const override { return info_; }
  Status forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                 const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) override;
  void set_observer(TensorObserver* observer) override { observer_ = observer; }

 private:
  Status allocate(const WeightLayout& layout, const std::function<void(double)>& progress,
                  const std::stop_token& stop);
  Status begin(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
               const CaptureRequest& request, CaptureBlock* capture, Queue& queue);
  int bucket_of(const Batch& batch, const RoutingTable& table) const;
  ForwardContext context_for(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                             Queue& queue);
  void run_layer(ForwardContext& context, int layer, int moe_layer);
  void run_layers(ForwardContext& context);
  void send_probes(ForwardContext& context, int layers, int moe_layers);
  Status decode(ForwardContext& context, HeadEnd end);
  Status compute(ForwardContext& context, const Batch& batch, StepOutput& output);
  Status head_slices(ForwardContext& context, const Batch& batch, StepOutput& output);
  Status finish(ForwardContext& context, const Batch& batch, CaptureBlock* capture);
  Status run_step(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                  const CaptureRequest& request, StepOutput& output, CaptureBlock* capture);
  void drain() const;
  void observe(const char* name, int layer, const float* device, std::int64_t rows, std::int64_t columns,
               Queue& queue);
  Status explain_not_finite(ForwardContext& context, const Batch& batch);
  bool hidden_is_finite(ForwardContext& context);

  std::shared_ptr<const Model> model_;
  BackendOptions options_;
  BackendInfo info_;
  DeviceLimits limits_;
  int most_fused_ = 0;  ///< tokens of a fused step
  Stream stream_;
  DeviceWeights weights_;
  Workspace work_;
  KvCache cache_;
  RopeTables rope_;
  RoutingTables routing_;
  StepInput input_;
  ExpertCache experts_;
  Products products_;
  CaptureBuffer capture_;
  StepResults results_;
  std::array<std::array<StepGraph, 3>, kBuckets> graphs_;  ///< by log2 of the bucket and HeadEnd
  std::shared_ptr<const RoutingTable> table_;              ///< the last one, found fit
  std::vector<float> observed_;
  TensorObserver* observer_ = nullptr;
};

CudaBackend::~CudaBackend() {
  // This thread may have used another device since.
  cudaSetDevice(options_.choice.device);
  drain();
}

/// Whatever is still running reads and writes memory that goes now or is filled again.
void CudaBackend::drain() const {
  if (stream_.get() != nullptr) cudaStreamSynchronize(stream_.get());
  capture_.drain();
}

Status CudaBackend::allocate(const WeightLayout& layout, const std::function<void(double)>& progress,
                             const std::stop_token& stop) {
  const ModelConfig& config = model_->config();
  const bool resident = info_.memory.resident_experts == config.num_experts();
  cudaStream_t stream = stream_.get();
  if (auto ok = cache_.allocate(config, options_); !ok) return ok;
  if (auto ok = work_.allocate(config, options_, limits_.multiprocessors, stream); !ok) return ok;
  if (auto ok = rope_.build(config, options_.max_context, stream); !ok) return ok;
  if (auto ok = routing_.allocate(config); !ok) return ok;
  if (auto ok = results_.allocate(work_, options_.max_batch); !ok) return ok;
  const auto layer_begun = results_.layer_begun();
  if (!layer_begun) return forward_error(layer_begun);
  if (auto ok = input_.allocate(options_, *layer_begun); !ok) return ok;
  if (auto ok = products_.create(stream, options_.math); !ok) return ok;
  if (auto ok = capture_.create(); !ok) return ok;
  if (auto ok = weights_.load(layout, config, resident, stream, progress, stop); !ok) return ok;
  for (int n = 0; n < config.num_layers(); ++n)
    routing_.set_weights(n, weights_.layer(n).correction_bias, nullptr);
  if (!resident) {
    if (auto ok = experts_.create(layout, config, weights_, info_.memory.resident_experts, stream); !ok)
      return ok;
  }
  return describe_layers(config, work_, routing_, stream);
}

Status CudaBackend::open(OpenedDevice device, std::string reason, const OpenProgress& progress,
                         const std::stop_token& stop) {
  limits_ = device.limits;
  const WeightLayout layout(model_->config(), model_->weights(), options_.math);
  most_fused_ = most_fused_tokens(layout, model_->config(), options_.math, limits_);
  auto memory = plan(layout, model_->config(), options_, limits_, device.info.memory_free);
  if (!memory) return forward_error(memory);
  info_ = {.kind = BackendKind::cuda,
           .reason = std::move(reason),
           .device = std::move(device.info),
           .memory = *memory};
  if (auto ok = stream_.create(); !ok) return ok;
  const auto with_plan = loading_progress(info_, progress);
  with_plan(0);
  return allocate(layout, with_plan, stop);
}

std::string CudaBackend::description() const {
  return fmt::format("CUDA {} ({})", options_.math == MathMode::bf16 ? "bf16" : "f32", info_.device.name);
}

/// The bucket of a step that can be recorded, else 0. A policy that asks for more slots than the model's can
/// not: the launches of a recorded step have room for those.
int CudaBackend::bucket_of(const Batch& batch, const RoutingTable& table) const {
  const auto tokens = static_cast<int>(batch.tokens.size());
  const bool single = std::all_of(batch.chunks.begin(), batch.chunks.end(),
                                  [](const SequenceChunk& chunk) { return chunk.count == 1; });
  if (!single || tokens > kBatchTokens) return 0;
  const auto rounded = static_cast<int>(std::bit_ceil(static_cast<unsigned>(tokens)));
  if (rounded <= kDecodeTokens)
    return rounded <= most_fused_ && table.max_top_k <= work_.decode_slots ? rounded : 0;
  const int bucket = std::min(rounded, options_.max_batch);
  return table.max_top_k <= model_->config().top_k() && bucket <= work_.head_rows ? bucket : 0;
}

ForwardContext CudaBackend::context_for(const Batch& batch, const RoutingTable& table,
                                        const CaptureRequest& request, Queue& queue) {
  return {.config = model_->config(),
          .weights = weights_,
          .work = work_,
          .cache = cache_,
          .rope = rope_,
          .routing = routing_,
          .input = input_,
          .experts = experts_,
          .products = products_,
          .queue = queue,
          .bf16 = options_.math == MathMode::bf16,
          .multiprocessors = limits_.multiprocessors,
          .tokens = static_cast<int>(batch.tokens.size()),
          .bucket = bucket_of(batch, table),
          .slots = slots_of(table),
          .table = &table,
          .capture = request};
}

void CudaBackend::observe(const char* name, int layer, const float* device, std::int64_t rows,
                          std::int64_t columns, Queue& queue) {
  if (observer_ == nullptr) return;
  observed_.resize(static_cast<std::size_t>(rows * columns));
  queue.copy(observed_.data(), device, observed_.size() * sizeof(float), cudaMemcpyDeviceToHost);
  queue.wait();
  if (queue.ok()) observer_->observe(name, layer, observed_, static_cast<int>(columns));
}

void CudaBackend::run_layer(ForwardContext& context, int layer, int moe_layer) {
  attention(context, layer);
  if (context.config.is_moe(layer)) {
    moe(context, layer, moe_layer);
  } else {
    dense_mlp(context, layer);
  }
}

void CudaBackend::run_layers(ForwardContext& context) {
  const std::int64_t width = context.config.hidden_size;
  embed(context);
  observe(intermediate::kEmbedding, -1, work_.hidden, context.tokens, width, context.queue);
  int moe_layer = 0;
  for (int layer = 0; layer < context.config.num_layers(); ++layer) {
    run_layer(context, layer, moe_layer);
    moe_layer += context.config.is_moe(layer) ? 1 : 0;
    observe(intermediate::kHidden, layer, work_.hidden, context.tokens, width, context.queue);
    if (!context.decoding() && (layer + 1) % kLayersOfAPiece == 0) send_probes(context, layer + 1, moe_layer);
  }
  if (context.fused()) finish_decode_probes(context);
  // Once a row of the residual stream is not finite it stays so: one look at the end is enough.
  check_hidden(context);
}

/// What the probes saw in layers that are done travels while the next are computed.
void CudaBackend::send_probes(ForwardContext& context, int layers, int moe_layers) {
  if (!context.capture.any() || !context.queue.ok()) return;
  context.queue.enter("copying what the probes saw");
  if (auto sent = capture_.send(context.queue.stream(), layers, moe_layers); !sent)
    context.queue.fail(sent.error());
}

/// One token of each sequence, from a graph unless somebody watches. What changes from step to step is in
/// memory the graph reads, so it is recorded once for each bucket; without memory for one, say, steps are
/// slower and give the same.
Status CudaBackend::decode(ForwardContext& context, HeadEnd end) {
  const auto work = [&] {
    run_layers(context);
    if (end == HeadEnd::none) return;
    head(context, 0, context.bucket);
    if (end == HeadEnd::candidates) return find_candidates(context, context.bucket);
    check_logits(context, context.bucket);
  };
  const auto bucket = static_cast<std::size_t>(std::bit_width(static_cast<unsigned>(context.bucket) - 1));
  StepGraph& graph = graphs_[bucket][static_cast<std::size_t>(end)];
  if (observer_ == nullptr && graph.can_record()) graph.record(context.queue, work);
  if (observer_ != nullptr || !graph.recorded()) {
    work();
    return context.queue.take_status();
  }
  context.queue.enter("decode step");
  graph.launch(context.queue);
  return {};
}

/// The head in slices of rows, so that the memory for logits does not grow with the batch.
Status CudaBackend::head_slices(ForwardContext& context, const Batch& batch, StepOutput& output) {
  const int rows = input_.host().output_rows;
  const HeadEnd end = head_end(batch, rows);
  for (int first = 0; first < rows; first += work_.head_rows) {
    const int slice = std::min(work_.head_rows, rows - first);
    results_.settle(context, batch, output);
    if (!context.decoding()) {
      head(context, first, slice);
      if (end == HeadEnd::candidates)
        find_candidates(context, slice);
      else if (batch.logits != LogitsWanted::log_probs)
        check_logits(context, slice);
    }
    results_.queue_rows(context, batch, first, slice, output);
  }
  return context.queue.take_status();
}

Status CudaBackend::compute(ForwardContext& context, const Batch& batch, StepOutput& output) {
  const int rows = input_.host().output_rows;
  if (context.decoding()) {
    if (auto ok = decode(context, head_end(batch, rows)); !ok) return ok;
  } else {
    run_layers(context);
  }
  if (auto ok = head_slices(context, batch, output); !ok) return ok;
  if (rows > 0 && observer_ != nullptr) {
    observe_norm(context);
    observe(intermediate::kNorm, -1, work_.exact, rows, context.config.hidden_size, context.queue);
  }
  return context.queue.take_status();
}

/// Everything the host wants of a step, and the wait for it.
Status CudaBackend::finish(ForwardContext& context, const Batch& batch, CaptureBlock* capture) {
  Queue& queue = context.queue;
  results_.queue_end(context, batch);
  experts_.end_step(queue);
  if (capture != nullptr) {
    if (context.decoding())
      capture_.send_all(queue);
    else
      send_probes(context, capture->layers, capture->moe_layers);
  }
  if (auto ok = queue.take_status(); !ok) return ok;
  // Pieces that are there are copied while the last layers are computed.
  if (capture != nullptr && !context.decoding()) {
    if (auto ok = capture_.receive(*capture); !ok) return ok;
  }
  queue.enter("finishing the step");
  queue.wait();
  if (auto ok = queue.take_status(); !ok) return ok;
  if (capture == nullptr) return {};
  experts_.report(*capture);
  if (context.decoding())
    if (auto ok = capture_.receive(*capture); !ok) return ok;
  unset_absent(model_->config(), *capture);
  return {};
}

Status CudaBackend::begin(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                          const CaptureRequest& request, CaptureBlock* capture, Queue& queue) {
  DeviceCapture probes;
  if (capture != nullptr) {
    prepare_capture(batch, *table, request, model_->config(), *capture);
    auto places = capture_.begin(*capture);
    if (!places) return forward_error(places);
    probes = *places;
  }
  routing_.upload(table, queue);
  input_.upload(batch, slots_of(*table), probes,
                query_tile(options_.math, model_->config().widest().head_dim), queue);
  results_.begin(work_, queue);
  experts_.begin_step(queue);
  return queue.take_status();
}

Status CudaBackend::forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                            const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) {
  const ModelConfig& config = model_->config();
  if (auto ok = check_batch(batch, options_, config); !ok) return ok;
  if (table != table_ || table == nullptr) {
    if (auto ok = check_table(table.get(), config); !ok) return ok;
    table_ = table;
  }
  // The thread that steps may be another one than the thread that opened.
  if (auto ok = check(cudaSetDevice(options_.choice.device), "using the GPU"); !ok) return ok;
  Status ok;
  try {
    ok = run_step(batch, table, request, output, capture);
  } catch (const std::bad_alloc&) {
    ok = fail(ErrorCode::out_of_memory, "no memory for the logits and probes of {} tokens",
              batch.tokens.size());
  }
  if (ok) return ok;
  drain();
  Error error = std::move(ok.error());
  error.message += results_.reached(error);
  return tl::unexpected<Error>(std::move(error));
}

Status CudaBackend::run_step(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                             const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) {
  Queue queue(stream_.get());
  prepare_output(batch, model_->config(), output);
  if (auto ok = begin(batch, table, request, capture, queue); !ok) return ok;
  ForwardContext context = context_for(batch, *table, capture != nullptr ? request : CaptureRequest{}, queue);
  if (auto ok = compute(context, batch, output); !ok) return ok;
  if (auto ok = finish(context, batch, capture); !ok) return ok;
  if (!results_.hidden_is_finite() || !results_.logits_are_finite())
    return explain_not_finite(context, batch);
  results_.read(context, batch, output);
  return queue.take_status();
}

bool CudaBackend::hidden_is_finite(ForwardContext& context) {
  check_hidden(context);
  results_.queue_flags(work_, context.queue);
  context.queue.wait();
  return !context.queue.ok() || results_.hidden_is_finite();
}

/// Runs the step again, layer by layer, and says where NaN or infinity came up first and which weight of that
/// layer holds one.
Status CudaBackend::explain_not_finite(ForwardContext& context, const Batch& batch) {
  const auto report = [&](const std::string& where, int layer) -> Status {
    if (auto ok = context.queue.take_status(); !ok) return ok;
    return not_finite(*model_, where, layer);
  };
  if (results_.hidden_is_finite()) return report("the logits are not finite", -1);
  context.capture = {};
  context.bucket = 0;
  input_.upload(batch, context.slots, {}, query_tile(options_.math, model_->config().widest().head_dim),
                context.queue);
  results_.begin(work_, context.queue);
  embed(context);
  if (!hidden_is_finite(context)) return report("the embedding: NaN or infinity in the hidden state", -1);
  int moe_layer = 0;
  for (int layer = 0; layer < context.config.num_layers(); ++layer) {
    run_layer(context, layer, moe_layer);
    moe_layer += context.config.is_moe(layer) ? 1 : 0;
    if (!hidden_is_finite(context))
      return report(fmt::format("layer {}: NaN or infinity in the hidden state", layer), layer);
  }
  if (auto ok = context.queue.take_status(); !ok) return ok;
  return fail(ErrorCode::format, "NaN or infinity in the hidden state");
}

}  // namespace

Result<MemoryPlan> plan_memory(const Model& model, const BackendOptions& options) {
  const auto device = open_described(options.choice.device);
  if (!device) return forward_error(device);
  const Status tuned = can_run(model.config(), device->limits);
  if (options.plain || !tuned) {
    auto plan = plain::plan_memory(model, options, device->info.memory_free);
    if (plan && !tuned) plan->plain_because = tuned.error().message;
    return plan;
  }
  return plan(WeightLayout(model.config(), model.weights(), options.math), model.config(), options,
              device->limits, device->info.memory_free);
}

Result<std::unique_ptr<Backend>> make_cuda_backend(std::shared_ptr<const Model> model,
                                                   const BackendOptions& options, std::string reason,
                                                   const OpenProgress& progress,
                                                   const std::stop_token& stop) {
  if (auto ok = check_backend_options(options, model->config()); !ok) return forward_error(ok);
  auto device = open_described(options.choice.device);
  if (!device) return forward_error(device);
  const Status tuned = can_run(model->config(), device->limits);
  if (!tuned) reason = join_reasons(reason, tuned.error().message);
  if (options.plain || !tuned)
    return plain::make_backend(std::move(model), options, std::move(*device), std::move(reason), progress,
                               stop);
  auto backend = std::make_unique<CudaBackend>(std::move(model), options);
  if (auto ok = backend->open(std::move(*device), std::move(reason), progress, stop); !ok)
    return forward_error(ok);
  return backend;
}

}  // namespace expertscope::cuda
