// SPDX-License-Identifier: GPL-3.0-or-later
#include <cmath>

#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

/// projected = the MLP (MlpSpec) of all tokens' normed rows.
void project(ForwardContext& context, const MlpSpec& spec, const MlpWeights& mlp) {
  Workspace& work = context.work;
  const std::int64_t width = context.config.hidden_size;
  const std::int64_t inner = mlp.gate_proj.rows;
  const auto input = pack_rows(context, work.normed.data(), context.tokens, width,
                               shared_arithmetic(context, {&mlp.gate_proj, &mlp.up_proj}));
  work.products.clear();
  work.products.add(mlp.gate_proj, input, work.gate.data(), inner);
  work.products.add(mlp.up_proj, input, work.up.data(), inner);
  work.products.run(context.kernels, context.pool);
  for_ranges(context.pool, context.tokens, 16, inner, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      add_bias(context, mlp.gate_bias, work.gate.data() + t * inner);
      add_bias(context, mlp.up_bias, work.up.data() + t * inner);
    }
    float* gate = work.gate.data() + begin * inner;
    context.kernels.swiglu(spec, gate, work.up.data() + begin * inner, (end - begin) * inner, gate);
  });
  const auto hidden = pack_rows(context, work.gate.data(), context.tokens, inner,
                                shared_arithmetic(context, {&mlp.down_proj}));
  work.products.clear();
  work.products.add(mlp.down_proj, hidden, work.projected.data(), width);
  work.products.run(context.kernels, context.pool);
  if (!spec.biases) return;
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t)
      add_bias(context, mlp.down_bias, work.projected.data() + t * width);
  });
}

/// mlp_sum += scale(token) * projected, and the probe of the layer's end where this is it.
template <class Scale>
void add(ForwardContext& context, int index, Scale&& scale) {
  Workspace& work = context.work;
  const std::int64_t width = context.config.hidden_size;
  const bool last = !sums_apart(context.config.layer(index));
  float* const sum = mlp_sum(context, index);
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      context.kernels.axpy(scale(t), work.projected.data() + t * width, width, sum + t * width);
      if (last) capture_hidden(context, index, t);
    }
  });
}

/// The logit of the shared expert's gate of every token. In f32 whatever the mode, as the router.
void gate_tokens(ForwardContext& context, const Matrix& gate) {
  Workspace& work = context.work;
  const auto input = pack_rows(context, work.normed.data(), context.tokens, gate.cols, Arithmetic::f32);
  work.products.clear();
  work.products.add(gate, input, work.shared_gate.data(), 1);
  work.products.run(context.kernels, context.pool);
}

/// ||f||, max |f| and its channel, f the output of the shared expert before its gate.
void capture_shared(ForwardContext& context, int moe_layer, std::int64_t token) {
  CaptureBlock* block = context.capture;
  if (block == nullptr || block->shared_norm.empty()) return;
  const std::int64_t width = context.config.hidden_size;
  const RowStats stats = context.kernels.row_stats(context.work.projected.data() + token * width, width);
  const auto at = static_cast<std::size_t>(moe_layer * context.tokens + token);
  block->shared_norm[at] = stats.norm;
  block->shared_max[at] = stats.max_abs;
  block->shared_channel[at] = stats.channel;
}

}  // namespace

void dense_mlp(ForwardContext& context, int index) {
  const LayerWeights& layer = context.weights.layers[index];
  const LayerSpec& spec = context.config.layer(index);
  take_input(context, index, layer.post_attention_layernorm);
  project(context, spec.dense, layer.mlp);
  if (spec.branch_norms)
    norm_rows(context, spec.norm, layer.dense_output_norm, context.work.projected.data());
  add(context, index, [](std::int64_t) { return 1.0f; });
}

void shared_expert(ForwardContext& context, int index, int moe_layer) {
  const LayerWeights& layer = context.weights.layers[index];
  const bool gated = context.config.layer(index).shared_gate;
  if (gated) gate_tokens(context, layer.shared_gate);
  project(context, context.config.layer(index).shared, layer.shared);
  const float* gate = context.work.shared_gate.data();
  add(context, index, [&](std::int64_t t) {
    capture_shared(context, moe_layer, t);
    return gated ? 1.0f / (1.0f + std::exp(-gate[t])) : 1.0f;
  });
}

}  // namespace expertscope::cpu
