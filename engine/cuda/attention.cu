// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/attention.h"
#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/attention_decode.cuh"
#include "engine/cuda/kernels/dispatch.h"
#include "engine/cuda/kernels/products_decode.cuh"
#include "engine/cuda/kernels/rows.cuh"

namespace expertscope::cuda {

DeviceHeads heads_of(const ForwardContext& context, int index) {
  const DeviceLayer& layer = context.weights.layer(index);
  const LayerSpec& spec = context.config.layer(index);
  const bool whole = spec.attention.qk_norm == AttentionSpec::QkNorm::whole;  // done by then, with the bias
  return {.heads = spec.attention.heads,
          .kv_heads = spec.attention.kv_heads,
          .head_dim = spec.attention.head_dim,
          .rotary_half = spec.attention.rotary.width / 2,
          .layer = index,
          .eps = spec.norm.eps,
          .bias = whole ? nullptr : layer.qkv_bias,
          .q_norm = whole ? nullptr : layer.q_norm,
          .k_norm = whole ? nullptr : layer.k_norm,
          .rope = context.rope.of_layer(index)};
}

namespace {

void project_fused(ForwardContext& context, int index) {
  const DeviceLayer& layer = context.weights.layer(index);
  const DeviceMatrix& w = layer.qkv;
  with_types(w.type, context.rounds(w.type), [&]<DeviceType kType, class X>() {
    with_bucket(context.bucket, [&]<int kTokens>() {
      const Shape shape{dim3(product_blocks(context, w.rows)), kProductThreads,
                        static_cast<std::size_t>(kTokens * w.stride) * sizeof(X)};
      context.queue.launch(&norm_product<kType, X, kTokens, ProductRows::tokens>, shape,
                           context.input.device(), context.work.hidden, layer.input_layernorm,
                           context.config.layer(index).norm.eps, w, context.work.qkv, w.rows);
    });
  });
}

/// Bias and norm of queries and keys where the norm goes over all heads together: a kernel of its own.
void norm_whole_rows(ForwardContext& context, int index) {
  const LayerSpec& spec = context.config.layer(index);
  if (spec.attention.qk_norm != AttentionSpec::QkNorm::whole) return;
  const DeviceLayer& layer = context.weights.layer(index);
  context.queue.launch(&norm_heads, {dim3(static_cast<unsigned>(context.rows())), kRowThreads, 0},
                       context.input.device(), context.work.qkv, layer.qkv_bias, layer.q_norm, layer.k_norm,
                       spec.attention.query_width(), spec.attention.key_width(), spec.norm.eps);
}

template <class C, class X, int kHeads>
void launch_each(ForwardContext& context, const DeviceHeads& heads, const AttentionPieces& pieces,
                 int stride) {
  const DeviceCache& cache = context.cache.view();
  const Shape shape{
      dim3(static_cast<unsigned>(heads.kv_heads), static_cast<unsigned>(context.work.splits(context.bucket)),
           static_cast<unsigned>(context.bucket)),
      kDecodeAttentionThreads, decode_attention_bytes<C>(heads.group(), cache.stride)};
  context.queue.launch(&attend_token<C, X, kHeads>, shape, context.input.device(), heads, cache,
                       context.work.qkv, pieces, static_cast<X*>(context.work.attended), stride);
}

/// One token of each sequence, whole contexts.
void attend_each(ForwardContext& context, int index, int stride, bool rounds) {
  const DeviceHeads heads = heads_of(context, index);
  AttentionPieces pieces = context.work.pieces;
  if (context.fused()) pieces.first_token += index * kDecodeTokens * heads.heads;
  const int each = decode_heads(heads.group(), context.cache.view().stride);
  with_cache(context.bf16, rounds, [&]<class C, class X>() {
    if (each <= 2) return launch_each<C, X, 2>(context, heads, pieces, stride);
    if (each <= 8) return launch_each<C, X, 8>(context, heads, pieces, stride);
    launch_each<C, X, kMostDecodeHeads>(context, heads, pieces, stride);
  });
}

void output_fused(ForwardContext& context, const DeviceLayer& layer) {
  const DeviceMatrix& w = layer.o_proj;
  with_types(w.type, context.rounds(w.type), [&]<DeviceType kType, class X>() {
    with_bucket(context.bucket, [&]<int kTokens>() {
      context.queue.launch(&add_product<kType, X, kTokens>,
                           {dim3(product_blocks(context, w.rows)), kProductThreads,
                            static_cast<std::size_t>(kTokens * w.stride) * sizeof(X)},
                           context.input.device(), static_cast<const X*>(context.work.attended), w,
                           layer.o_bias, context.work.hidden);
    });
  });
}

}  // namespace

void attention(ForwardContext& context, int index) {
  context.queue.enter("attention", index);
  const DeviceLayer& layer = context.weights.layer(index);
  const int stride = layer.o_proj.stride;
  const bool rounds = context.rounds(layer.o_proj.type);
  if (context.fused()) {
    project_fused(context, index);
    norm_whole_rows(context, index);
    attend_each(context, index, stride, rounds);
    output_fused(context, layer);
    return;
  }
  norm_tokens(context, context.config.layer(index).norm, layer.input_layernorm, layer.qkv.type, false);
  context.products.run(context.queue, layer.qkv, context.rounds(layer.qkv.type), context.work.normed,
                       context.rows(), context.work.qkv, layer.qkv.rows, ProductEnd::store);
  norm_whole_rows(context, index);
  if (context.decoding())
    attend_each(context, index, stride, rounds);
  else
    attend_many(context, index, stride, rounds);
  capture_attention(context, index);
  context.products.run(context.queue, layer.o_proj, rounds, context.work.attended, context.rows(),
                       context.work.hidden, context.config.hidden_size, ProductEnd::add);
  add_bias(context.queue, layer.o_bias, context.config.hidden_size, context.work.hidden, context.rows());
}

}  // namespace expertscope::cuda
