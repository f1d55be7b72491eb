// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/attention.h"
#include "engine/cuda/kernels/attention_mma.cuh"
#include "engine/cuda/kernels/attention_tiled.cuh"
#include "engine/cuda/kernels/dispatch.h"

namespace expertscope::cuda {
namespace {

template <class C>
void finish_all_heads(ForwardContext& context, const DeviceHeads& heads) {
  const DeviceCache& cache = context.cache.view();
  context.queue.launch(&finish_heads<C>,
                       {dim3(static_cast<unsigned>(context.tokens)), kFinishWarps * kWarp, 0},
                       context.input.device(), heads, cache, context.work.qkv);
}

dim3 tile_blocks(const ForwardContext& context, const DeviceHeads& heads) {
  return dim3(static_cast<unsigned>(context.input.query_tile_count()), static_cast<unsigned>(heads.heads));
}

template <int kChunks>
void launch_tiled(ForwardContext& context, const DeviceHeads& heads, int stride) {
  const DeviceCache& cache = context.cache.view();
  const Shape shape{tile_blocks(context, heads), kTileQueries * kWarp,
                    static_cast<std::size_t>(tiled_attention_floats(cache.stride)) * sizeof(float)};
  context.queue.launch(&attend_tile<float, float, kChunks>, shape, context.input.query_tiles(), heads, cache,
                       context.work.qkv, static_cast<float*>(context.work.attended), stride,
                       context.work.first_token);
}

/// The reference: f32 throughout.
void attend_tiled(ForwardContext& context, const DeviceHeads& heads, int stride) {
  finish_all_heads<float>(context, heads);
  if (heads.head_dim <= 64) return launch_tiled<2>(context, heads, stride);
  if (heads.head_dim <= 128) return launch_tiled<4>(context, heads, stride);
  launch_tiled<8>(context, heads, stride);
}

/// fn<channels a tile of the tensor core kernel has room for>().
template <class Fn>
auto with_mma_width(int head_dim, Fn&& fn) {
  if (head_dim <= 32) return fn.template operator()<32>();
  if (head_dim <= 64) return fn.template operator()<64>();
  if (head_dim <= 128) return fn.template operator()<128>();
  return fn.template operator()<256>();
}

template <class X, int kWidth>
void launch_mma(ForwardContext& context, const DeviceHeads& heads, int stride) {
  const Shape shape{tile_blocks(context, heads), kMmaAttentionThreads,
                    static_cast<std::size_t>(mma_attention_bytes<kWidth>())};
  context.queue.launch(&attend_mma<X, kWidth>, shape, context.input.query_tiles(), heads,
                       context.cache.view(), context.work.qkv, static_cast<X*>(context.work.attended), stride,
                       context.work.first_token);
}

void attend_with_tensor_cores(ForwardContext& context, const DeviceHeads& heads, int stride, bool rounds) {
  finish_all_heads<Bf16>(context, heads);
  with_activations(rounds, [&]<class X>() {
    with_mma_width(heads.head_dim, [&]<int kWidth>() { launch_mma<X, kWidth>(context, heads, stride); });
  });
}

}  // namespace

int query_tile(MathMode math, int head_dim) {
  if (math == MathMode::f32) return kTileQueries;
  return with_mma_width(head_dim, [&]<int kWidth>() { return mma_queries(kWidth); });
}

void attend_many(ForwardContext& context, int index, int stride, bool rounds) {
  const DeviceHeads heads = heads_of(context, index);
  if (context.bf16)
    attend_with_tensor_cores(context, heads, stride, rounds);
  else
    attend_tiled(context, heads, stride);
}

void capture_attention(ForwardContext& context, int layer) {
  if (!context.decoding() && !context.capture.attention) return;
  const auto blocks = static_cast<unsigned>((context.rows() + kRowThreads - 1) / kRowThreads);
  context.queue.launch(&measure_attention, {dim3(blocks), kRowThreads, 0}, context.input.device(),
                       context.work.first_token, context.config.layer(layer).attention.heads, layer);
}

}  // namespace expertscope::cuda
