// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/forward.h"

namespace expertscope::cpu {

void dense_mlp(ForwardContext& context, int index) {
  const LayerWeights& layer = context.weights.layers[static_cast<std::size_t>(index)];
  const MlpWeights& mlp = layer.mlp;
  Workspace& work = context.work;
  const std::int64_t width = context.config.hidden_size;
  const std::int64_t inner = mlp.gate_proj.rows;
  norm_tokens(context, context.config.layer(index).norm, layer.post_attention_layernorm);
  const auto input = pack_rows(context, work.normed.data(), context.tokens, width,
                               shared_arithmetic(context, {&mlp.gate_proj, &mlp.up_proj}));
  work.products.clear();
  work.products.add(mlp.gate_proj, input, work.gate.data(), inner);
  work.products.add(mlp.up_proj, input, work.up.data(), inner);
  work.products.run(context.kernels, context.pool);
  for_ranges(context.pool, context.tokens, 16, inner, [&](std::int64_t begin, std::int64_t end) {
    float* gate = work.gate.data() + begin * inner;
    context.kernels.silu_mul(gate, work.up.data() + begin * inner, (end - begin) * inner, gate);
  });
  const auto hidden = pack_rows(context, work.gate.data(), context.tokens, inner,
                                shared_arithmetic(context, {&mlp.down_proj}));
  work.products.clear();
  work.products.add(mlp.down_proj, hidden, work.projected.data(), width);
  work.products.run(context.kernels, context.pool);
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      context.kernels.axpy(1.0f, work.projected.data() + t * width, width, work.hidden.data() + t * width);
      capture_hidden(context, index, t);
    }
  });
}

}  // namespace expertscope::cpu
