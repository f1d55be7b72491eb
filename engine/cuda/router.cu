// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/router.h"

#include "engine/cuda/kernels/dispatch.h"
#include "engine/cuda/kernels/products_decode.cuh"
#include "engine/cuda/kernels/route_rows.cuh"
#include "engine/cuda/kernels/rows.cuh"

namespace expertscope::cuda {
namespace {

std::size_t scratch_bytes(int experts, int top_k) {
  return static_cast<std::size_t>(route_scratch_floats(experts, top_k)) * sizeof(float);
}

/// Norm, logits and routing in one kernel. A graph outlives the table: the memory is for the widest top_k
/// that a decode step takes.
void route_fused(ForwardContext& context, int index, int moe_layer) {
  const DeviceLayer& layer = context.weights.layer(index);
  const DeviceMatrix& w = layer.router;
  with_weights(w.type, [&]<DeviceType kType>() {
    with_activations(context.rounds(layer.experts.type), [&]<class X>() {
      with_bucket(context.bucket, [&]<int kTokens>() {
        const std::size_t rows = static_cast<std::size_t>(kTokens * w.stride) * sizeof(float);
        const std::size_t scratch = kTokens * scratch_bytes(w.rows, context.work.decode_slots);
        const Shape shape{dim3(product_blocks(context, w.rows)), kProductThreads, std::max(rows, scratch)};
        context.queue.launch(
            &route_tokens_decode<kType, X, kTokens>, shape, context.input.device(), context.work.hidden,
            layer.post_attention_layernorm, context.config.layer(index).norm.eps, w,
            context.routing.layer(index), moe_layer, context.work.router_logits, context.layer_slots(index),
            static_cast<X*>(context.work.normed), layer.experts.hidden_stride, context.work.arrived);
      });
    });
  });
}

/// The router's logits of many tokens, in f32: on tensor cores where the input can be split without loss.
void logits_of_many(ForwardContext& context, int index) {
  const DeviceLayer& layer = context.weights.layer(index);
  const Workspace& work = context.work;
  if (!context.rounds(layer.router.type)) {
    norm_tokens(context, context.config.layer(index).norm, layer.post_attention_layernorm, layer.experts.type,
                true);
    context.products.run_f32(context.queue, layer.router, work.exact, context.rows(), work.router_logits,
                             layer.router.rows);
    return;
  }
  auto* pieces = reinterpret_cast<std::uint16_t*>(work.exact);
  with_activations(context.rounds(layer.experts.type), [&]<class X>() {
    context.queue.launch(
        &norm_rows_in_pieces<X>, {dim3(static_cast<unsigned>(context.rows())), kRowThreads, 0},
        context.input.device(), work.hidden, layer.post_attention_layernorm, context.config.hidden_size,
        layer.router.stride, context.config.layer(index).norm.eps, static_cast<X*>(work.normed), pieces);
  });
  context.products.run(context.queue, layer.router_pieces, true, pieces, context.rows(), work.router_logits,
                       layer.router.rows, ProductEnd::store);
}

}  // namespace

void route_tokens(ForwardContext& context, int index, int moe_layer) {
  context.queue.enter("router", index);
  if (context.fused()) return route_fused(context, index, moe_layer);
  const DeviceLayer& layer = context.weights.layer(index);
  logits_of_many(context, index);
  const std::size_t warp = scratch_bytes(layer.router.rows, context.top_k(index));
  constexpr std::size_t kRoom = 48 * 1024;
  const int warps = std::clamp(static_cast<int>(kRoom / warp), 1, kRouteWarps);
  const Shape shape{dim3(static_cast<unsigned>((context.rows() + warps - 1) / warps)), warps * kWarp,
                    static_cast<std::size_t>(warps) * warp};
  context.queue.launch(&route_rows, shape, context.input.device(), context.routing.layer(index),
                       context.work.router_logits, layer.router.rows, moe_layer, context.layer_slots(index));
}

}  // namespace expertscope::cuda
