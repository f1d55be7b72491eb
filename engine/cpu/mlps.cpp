// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

/// hidden += work.mlp_sum, normed and scaled as the layer has it, with the probe of its end.
void add_sum(ForwardContext& context, int index) {
  const LayerSpec& spec = context.config.layer(index);
  const LayerWeights& weights = context.weights.layers[index];
  Workspace& work = context.work;
  const std::int64_t width = context.config.hidden_size;
  if (spec.norm_after) norm_rows(context, spec.norm, weights.mlp_post_norm, work.mlp_sum.data());
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      float* hidden = work.hidden.data() + t * width;
      context.kernels.axpy(1.0f, work.mlp_sum.data() + t * width, width, hidden);
      if (spec.output_scale) scale_row(hidden, width, weights.output_scale[0]);
      capture_hidden(context, index, t);
    }
  });
}

}  // namespace

void mlps(ForwardContext& context, int index, int moe_layer) {
  const LayerSpec& spec = context.config.layer(index);
  const LayerWeights& weights = context.weights.layers[index];
  Workspace& work = context.work;
  const bool apart = sums_apart(spec);
  if (apart) std::fill_n(work.mlp_sum.data(), context.tokens * context.config.hidden_size, 0.0f);
  if (spec.is_moe()) moe(context, index, moe_layer);
  if (spec.is_moe() && spec.branch_norms)
    norm_rows(context, spec.norm, weights.expert_output_norm, work.mlp_sum.data());
  if (spec.shared.width > 0) shared_expert(context, index, moe_layer);
  if (spec.dense.width > 0) dense_mlp(context, index);
  if (apart) add_sum(context, index);
}

bool sums_apart(const LayerSpec& spec) {
  return spec.norm_after || spec.branch_norms || spec.output_scale || (spec.is_moe() && spec.dense.width > 0);
}

float* mlp_sum(ForwardContext& context, int index) {
  return sums_apart(context.config.layer(index)) ? context.work.mlp_sum.data() : context.work.hidden.data();
}

}  // namespace expertscope::cpu
