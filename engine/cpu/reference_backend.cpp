// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/reference_backend.h"

#include <algorithm>
#include <new>

#include "engine/backend/backend_checks.h"
#include "engine/cpu/memory_plan.h"
#include "engine/cpu/reference.h"

namespace expertscope {
namespace cpu {
namespace {

class ReferenceBackend final : public Backend {
 public:
  ReferenceBackend(std::shared_ptr<const Model> model, const BackendOptions& options, std::string reason)
      : model_(std::move(model)), options_(options) {
    info_.kind = BackendKind::cpu;
    info_.reason = std::move(reason);
    info_.always_f32 = true;
  }

  Status allocate();
  std::string description() const override { return "CPU reference f32 (1 thread)"; }
  const BackendInfo& info() const override { return info_; }
  Status forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                 const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) override;
  void set_observer(TensorObserver* observer) override { observer_ = observer; }

 private:
  std::shared_ptr<const Model> model_;
  BackendOptions options_;
  BackendInfo info_;
  RopeTables rope_;
  std::vector<std::vector<LayerCache>> cache_;  ///< [sequence][layer]
  std::vector<std::int32_t> wanted_;
  TensorObserver* observer_ = nullptr;
};

Status ReferenceBackend::allocate() {
  info_.memory = plan_reference_memory(*model_, options_);
  if (auto ok = check_fits(info_.memory, options_); !ok) return ok;
  if (!rope_.build(model_->config(), options_.max_context)) return short_of_memory(info_.memory, options_);
  try {
    cache_.assign(static_cast<std::size_t>(options_.max_sequences),
                  std::vector<LayerCache>(model_->config().layers.size()));
  } catch (const std::bad_alloc&) {
    return short_of_memory(info_.memory, options_);
  }
  return {};
}

Status ReferenceBackend::forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                                 const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) {
  const ModelConfig& config = model_->config();
  if (auto ok = check_batch(batch, options_, config); !ok) return ok;
  if (auto ok = check_table(table.get(), config); !ok) return ok;
  try {
    prepare_output(batch, config, output);
    if (capture != nullptr) prepare_capture(batch, *table, request, config, *capture);
    list_head_tokens(batch, wanted_);
    auto logits = reference_forward({*model_, rope_, cache_, batch, *table, capture, observer_}, wanted_);
    if (!logits) return forward_error(logits);
    take_logits(batch, wanted_, 0, logits->values, output);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "no memory for a step of {} tokens", batch.tokens.size());
  }
  return {};
}

/// Floats that a step keeps of a token at most, of one layer and the head.
CheckedSize floats_of_token(const ModelConfig& config) {
  const WidestLayer most = config.widest();
  const CheckedSize hidden(config.hidden_size);
  const CheckedSize slot = hidden + CheckedSize(3) * CheckedSize(most.expert_width);
  return CheckedSize(8) * hidden + CheckedSize(4) * CheckedSize(std::max(most.query_width, most.q_rows)) +
         CheckedSize(2) * CheckedSize(most.latent_q_rank) + CheckedSize(most.output_width) +
         CheckedSize(3) * CheckedSize(most.gate_width) + CheckedSize(4) * CheckedSize(most.delta_channels) +
         CheckedSize(6) * CheckedSize(most.delta_values) + CheckedSize(6) * CheckedSize(most.delta_heads) +
         CheckedSize(4) * CheckedSize(most.key_width) + CheckedSize(2) * CheckedSize(most.experts) +
         CheckedSize(most.top_k) * slot + CheckedSize(3) * CheckedSize(most.dense_width) +
         CheckedSize(config.vocab_size);
}

}  // namespace

MemoryPlan plan_reference_memory(const Model& model, const BackendOptions& options,
                                 const std::optional<std::size_t>& available) {
  const WidestLayer most = model.config().widest();
  const CheckedSize expanded = CheckedSize(options.max_context) *
                               (CheckedSize(most.latent_expanded) + CheckedSize(2 * most.latent_head));
  const CheckedSize step = CheckedSize(options.max_batch) * floats_of_token(model.config()) + expanded;
  BackendOptions f32 = options;
  f32.math = MathMode::f32;
  return plan_with_workspace(model, f32, step * CheckedSize(sizeof(float)), available);
}

}  // namespace cpu

Result<std::unique_ptr<Backend>> make_reference_backend(std::shared_ptr<const Model> model,
                                                        const BackendOptions& options, std::string reason) {
  if (auto ok = check_backend_options(options, model->config()); !ok) return forward_error(ok);
  auto backend = std::make_unique<cpu::ReferenceBackend>(std::move(model), options, std::move(reason));
  if (auto ok = backend->allocate(); !ok) return forward_error(ok);
  return backend;
}

}  // namespace expertscope
