// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <string>

#include "engine/backend/backend.h"
#include "engine/backend/backend_checks.h"
#include "engine/backend/intermediates.h"
#include "engine/cpu/can_run.h"
#include "engine/cpu/forward.h"
#include "engine/cpu/memory_plan.h"
#include "engine/cpu/reference_backend.h"
#include "engine/model/model.h"

namespace expertscope {
namespace cpu {
namespace {

Status check_threads(const BackendOptions& options) {
  if (options.threads >= 0 && options.threads <= ThreadPool::kMaxThreads) return {};
  return fail(ErrorCode::invalid_argument, "{} threads are not possible, at most {} are", options.threads,
              ThreadPool::kMaxThreads);
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(std::shared_ptr<const Model> model, const BackendOptions& options, std::string reason,
             CpuLevel level)
      : model_(std::move(model)), options_(options), kernels_(kernels_for(level)), pool_(options.threads) {
    info_.kind = BackendKind::cpu;
    info_.reason = std::move(reason);
  }

  Status allocate();
  std::string description() const override;
  const BackendInfo& info() const override { return info_; }
  Status forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                 const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) override;
  void set_observer(TensorObserver* observer) override { observer_ = observer; }

 private:
  void run_layer(ForwardContext& context, int layer, int moe_layer);
  void observe(const char* name, int layer, const float* values, std::int64_t rows,
               std::int64_t columns) const;
  Status find_non_finite(ForwardContext& context);

  std::shared_ptr<const Model> model_;
  BackendOptions options_;
  BackendInfo info_;
  const Kernels& kernels_;
  ThreadPool pool_;
  Workspace work_;
  KvCache cache_;
  DeltaStates delta_states_;
  RopeTables rope_;
  std::shared_ptr<const RoutingTable> table_;  ///< the last one, found fit
  TensorObserver* observer_ = nullptr;
};

Status CpuBackend::allocate() {
  const ModelConfig& config = model_->config();
  info_.memory = plan_memory(*model_, options_);
  if (auto ok = check_fits(info_.memory, options_); !ok) return ok;
  const bool done = cache_.allocate(config, options_) &&
                    delta_states_.allocate(config, model_->weights(), options_) &&
                    work_.allocate(config, options_) && rope_.build(config, options_.max_context);
  if (!done) return short_of_memory(info_.memory, options_);
  return {};
}

std::string CpuBackend::description() const {
  std::string level = cpu_level_name(kernels_.level);
  std::transform(level.begin(), level.end(), level.begin(), [](unsigned char c) { return std::toupper(c); });
  return fmt::format("CPU {} ({}, {} thread{})", options_.math == MathMode::bf16 ? "bf16" : "f32", level,
                     pool_.threads(), pool_.threads() == 1 ? "" : "s");
}

void CpuBackend::observe(const char* name, int layer, const float* values, std::int64_t rows,
                         std::int64_t columns) const {
  if (observer_ == nullptr) return;
  const std::span<const float> all(values, static_cast<std::size_t>(rows * columns));
  observer_->observe(name, layer, all, static_cast<int>(columns));
}

void CpuBackend::run_layer(ForwardContext& context, int layer, int moe_layer) {
  if (context.config.layer(layer).mixer == MixerKind::linear_attention) {
    delta_net(context, layer);
  } else {
    attention(context, layer);
  }
  mlps(context, layer, moe_layer);
}

Status CpuBackend::forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                           const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) {
  const ModelConfig& config = model_->config();
  if (auto ok = check_batch(batch, options_, config); !ok) return ok;
  if (table == nullptr || table != table_) {
    if (auto ok = check_table(table.get(), config); !ok) return ok;
    table_ = table;
  }
  const std::int64_t width = config.hidden_size;
  const auto tokens = static_cast<std::int64_t>(batch.tokens.size());
  try {
    prepare_output(batch, config, output);
    if (capture != nullptr) prepare_capture(batch, *table, request, config, *capture);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "no memory for the logits and probes of {} tokens", tokens);
  }
  ForwardContext context{config,
                         model_->weights(),
                         kernels_,
                         pool_,
                         work_,
                         cache_,
                         delta_states_,
                         rope_,
                         options_.math == MathMode::bf16,
                         batch,
                         tokens,
                         *table,
                         capture};
  embed(context);
  observe(intermediate::kEmbedding, -1, work_.hidden.data(), tokens, width);
  int moe_layer = 0;
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    run_layer(context, layer, moe_layer);
    moe_layer += config.is_moe(layer) ? 1 : 0;
    observe(intermediate::kHidden, layer, work_.hidden.data(), tokens, width);
  }
  // Once a row of the residual stream is not finite it stays so: one look at the end is enough.
  if (!all_finite(work_.hidden.data(), tokens * width)) return find_non_finite(context);
  const std::int64_t rows = head_rows(batch);
  if (rows == 0) return {};
  const bool finite = head(context, output);
  observe(intermediate::kNorm, -1, work_.normed.data(), rows, width);
  if (finite) return {};
  return not_finite(*model_, "the logits are not finite", -1);
}

/// Runs the step again, layer by layer, and says where NaN or infinity came up first and which weight of that
/// layer holds one.
Status CpuBackend::find_non_finite(ForwardContext& context) {
  const std::int64_t values = context.tokens * context.config.hidden_size;
  const auto report = [&](const std::string& where, int layer) -> Status {
    return not_finite(*model_, where + ": NaN or infinity in the hidden state", layer);
  };
  context.capture = nullptr;
  embed(context);
  if (!all_finite(work_.hidden.data(), values)) return report("the embedding", -1);
  int moe_layer = 0;
  for (int layer = 0; layer < context.config.num_layers(); ++layer) {
    run_layer(context, layer, moe_layer);
    moe_layer += context.config.is_moe(layer) ? 1 : 0;
    if (!all_finite(work_.hidden.data(), values)) return report(fmt::format("layer {}", layer), layer);
  }
  return fail(ErrorCode::format, "NaN or infinity in the hidden state");
}

}  // namespace
}  // namespace cpu

Result<std::unique_ptr<Backend>> make_cpu_backend(std::shared_ptr<const Model> model,
                                                  const BackendOptions& options, std::string reason) {
  if (auto ok = cpu::check_threads(options); !ok) return forward_error(ok);
  if (auto ok = check_backend_options(options, model->config()); !ok) return forward_error(ok);
  const Status fast = cpu::can_run(model->config());
  if (!fast) reason = join_reasons(reason, fast.error().message);
  if (options.plain || !fast) return make_reference_backend(std::move(model), options, std::move(reason));
  auto backend = std::make_unique<cpu::CpuBackend>(std::move(model), options, std::move(reason),
                                                   cpu::choose_cpu_level());
  if (auto ok = backend->allocate(); !ok) return forward_error(ok);
  return backend;
}

}  // namespace expertscope
