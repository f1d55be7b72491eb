// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/experts.h"
#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/dispatch.h"
#include "engine/cuda/kernels/rows.cuh"
#include "engine/cuda/kernels/sort.cuh"
#include "engine/cuda/router.h"

namespace expertscope::cuda {
namespace {

/// A thread a slot, or a few.
Shape slots_shape(int tokens, int slots) {
  constexpr int kMostBlocks = 1024;
  const int blocks = (tokens * slots + kRowThreads - 1) / kRowThreads;
  return {dim3(static_cast<unsigned>(std::clamp(blocks, 1, kMostBlocks))), kRowThreads, 0};
}

/// The tokens of one round, sorted by expert without a word to the host.
void sort_rows(ForwardContext& context, int index, int experts, int first, int last, int tile_rows) {
  const SortedRows& sorted = context.work.sorted;
  const DeviceRouting* routing = context.routing.layer(index);
  const DeviceSlots slots = context.layer_slots(index);
  const int threads = (experts + kWarp - 1) / kWarp * kWarp;
  const int count = (last - first) * context.top_k(index);
  if (count <= kFewRows) {
    const int most = std::min((count + kWarp - 1) / kWarp * kWarp, kMaxExperts);
    context.queue.launch(&sort_few_rows, {dim3(1), std::max(threads, most), 0}, context.input.device(),
                         routing, slots, first, last, experts, tile_rows, sorted);
    return;
  }
  const Shape shape = slots_shape(last - first, context.top_k(index));
  context.queue.clear(sorted.count, static_cast<std::size_t>(experts) * sizeof(std::int32_t));
  context.queue.launch(&count_rows, shape, context.input.device(), routing, slots, first, last, sorted);
  context.queue.launch(&plan_tiles, {dim3(1), threads, 0}, experts, tile_rows, sorted);
  context.queue.launch(&place_rows, shape, context.input.device(), routing, slots, first, last, sorted);
}

void combine(ForwardContext& context, int index, int moe_layer, int first, int last) {
  const int width = context.config.hidden_size;
  context.queue.launch(&combine_rows,
                       {dim3(static_cast<unsigned>(last - first)), kRowThreads,
                        static_cast<std::size_t>(width) * sizeof(float)},
                       context.input.device(), context.routing.layer(index), context.layer_slots(index),
                       context.work.sorted, context.work.expert_output, width, first, index, moe_layer,
                       context.work.hidden);
}

/// The gate of the shared expert, a weight a token; before the experts change the hidden state.
void weigh_shared_expert(ForwardContext& context, int index) {
  const DeviceLayer& layer = context.weights.layer(index);
  const DeviceMatrix& gate = layer.shared_gate;
  if (gate.rows == 0) return;
  context.queue.enter("shared expert", index);
  with_weights(gate.type, [&]<DeviceType kType>() {
    context.queue.launch(&weigh_shared<kType>, {dim3(static_cast<unsigned>(context.rows())), kRowThreads, 0},
                         context.input.device(), context.work.hidden, layer.post_attention_layernorm,
                         context.config.layer(index).norm.eps, gate, context.fused(),
                         context.work.shared_weight);
  });
}

/// hidden += gate * shared expert(normed), where the layer has one, with its probe.
void shared_expert(ForwardContext& context, int index, int moe_layer) {
  const DeviceLayer& layer = context.weights.layer(index);
  if (layer.shared.experts == 0) return;
  context.queue.enter("shared expert", index);
  const bool gated = layer.shared_gate.rows > 0;
  if (context.fused()) {
    DeviceSlots slots = context.work.dense_slots;
    if (gated) slots.weight = context.work.shared_weight;
    return run_fused(context,
                     {layer.shared, context.routing.dense(), slots, 1, context.work.shared_parts(index)});
  }
  run_dense(context, layer.shared, false);
  context.queue.launch(&combine_shared, {dim3(static_cast<unsigned>(context.rows())), kRowThreads, 0},
                       context.input.device(), gated ? context.work.shared_weight : nullptr,
                       context.work.expert_output, context.config.hidden_size, index, moe_layer,
                       context.work.hidden);
}

}  // namespace

void moe(ForwardContext& context, int index, int moe_layer) {
  weigh_shared_expert(context, index);
  route_tokens(context, index, moe_layer);
  context.queue.enter("moe", index);
  const DeviceExperts& experts = context.weights.layer(index).experts;
  const DeviceRouting* routing = context.routing.layer(index);
  if (context.fused()) {
    context.experts.fetch(context.queue, index, context.input.device(), routing, context.layer_slots(index),
                          0, context.bucket);
    run_fused(context, {experts, routing, context.layer_slots(index),
                        context.config.layer(index).router.top_k, context.work.parts(index)});
    return shared_expert(context, index, moe_layer);
  }
  // A policy may ask for more slots than the model's top_k: then the batch goes in several rounds.
  const int top_k = context.top_k(index);
  const int round = std::max(1, context.work.expert_rows / top_k);
  for (int first = 0; first < context.rows(); first += round) {
    const int last = std::min(first + round, context.rows());
    context.experts.fetch(context.queue, index, context.input.device(), routing, context.layer_slots(index),
                          first, last);
    run_routed(context, index, experts, first, last);
    combine(context, index, moe_layer, first, last);
  }
  shared_expert(context, index, moe_layer);
}

void run_routed(ForwardContext& context, int index, const DeviceExperts& experts, int first, int last) {
  const int rows = (last - first) * context.top_k(index);
  const int tile_rows = expert_tile_rows(context, experts, rows);
  sort_rows(context, index, experts.experts, first, last, tile_rows);
  run_many(context, experts, rows, tile_rows);
}

void dense_mlp(ForwardContext& context, int index) {
  context.queue.enter("dense mlp", index);
  const DeviceLayer& layer = context.weights.layer(index);
  norm_tokens(context, context.config.layer(index).norm, layer.post_attention_layernorm, layer.experts.type,
              false);
  if (context.fused())
    return run_fused(context, {layer.experts, context.routing.layer(index), context.work.dense_slots, 1,
                               context.work.parts(index)});
  run_dense(context, layer.experts, true);
  capture_hidden(context, index);
}

}  // namespace expertscope::cuda
