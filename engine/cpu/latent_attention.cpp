// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

/// work.latent_q, normed, where queries have a latent, and work.k: what turns of a key, and the latent behind
/// it, as kv_a_proj gives them (the latent first).
void project_input(ForwardContext& context, const AttentionSpec& spec, const LayerWeights& layer) {
  Workspace& work = context.work;
  const bool latent_q = spec.latent.q_rank > 0;
  const Matrix& queries = latent_q ? layer.q_a_proj : layer.q_proj;
  const auto input = pack_rows(context, work.normed.data(), context.tokens, context.config.hidden_size,
                               shared_arithmetic(context, {&queries, &layer.kv_a_proj}));
  work.products.clear();
  work.products.add(queries, input, (latent_q ? work.latent_q : work.q).data(), queries.rows);
  work.products.add(layer.kv_a_proj, input, work.k.data(), layer.kv_a_proj.rows);
  work.products.run(context.kernels, context.pool);
}

/// work.q of work.latent_q.
void project_queries(ForwardContext& context, const LatentSpec& latent, const LayerWeights& layer) {
  Workspace& work = context.work;
  for_ranges(context.pool, context.tokens, 16, latent.q_rank, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      float* row = work.latent_q.data() + t * latent.q_rank;
      add_bias(context, layer.q_a_bias, row);
      context.kernels.rms_norm(row, layer.q_a_norm.data(), latent.q_rank, latent.eps, row);
    }
  });
  const auto input = pack_rows(context, work.latent_q.data(), context.tokens, latent.q_rank,
                               shared_arithmetic(context, {&layer.q_b_proj}));
  work.products.clear();
  work.products.add(layer.q_b_proj, input, work.q.data(), layer.q_b_proj.rows);
  work.products.run(context.kernels, context.pool);
}

/// to = x turned to its position. Interleaved pairs become halves: queries and keys alike, so that their
/// products stay what they are.
void turn(const ForwardContext& context, int index, const float* x, std::int64_t position, float* to) {
  const RotarySpec& rotary = context.config.layer(index).attention.rotary;
  const RopeTable& rope = context.rope.of_layer(index);
  const int half = rotary.width / 2;
  for (int i = 0; i < half; ++i) {
    to[i] = x[rotary.interleaved ? 2 * i : i];
    to[half + i] = x[rotary.interleaved ? 2 * i + 1 : half + i];
  }
  context.kernels.rope(to, rope.cosine(position), rope.sine(position), rope.width());
}

/// The latent of one token goes into the cache behind its key that turns, which begins its heads' queries,
/// too.
void finish_token(ForwardContext& context, int index, std::int64_t row, int sequence, std::int64_t position) {
  const AttentionSpec& spec = context.config.layer(index).attention;
  const LayerWeights& layer = context.weights.layers[index];
  const std::int64_t turning = spec.rotary.width;
  const std::int64_t rank = spec.latent.rank;
  float* const latent = context.work.k.data() + row * spec.head_dim;
  float* const kept = context.work.v.data() + row * spec.head_dim;
  add_bias(context, layer.kv_a_bias, latent);
  turn(context, index, latent + rank, position, kept);
  context.kernels.rms_norm(latent, layer.kv_a_norm.data(), rank, spec.latent.eps, kept + turning);
  store_cached(context, kept, spec.head_dim, context.cache.key(sequence, index, 0, position));
  const float* q = context.work.q.data() + row * spec.q_rows() + spec.latent.nope_dim;
  float* query = context.work.latent_queries.data() + row * spec.query_width();
  for (int head = 0; head < spec.heads; ++head)
    turn(context, index, q + std::int64_t{head} * spec.query_dim(), position,
         query + std::int64_t{head} * spec.head_dim);
}

void finish_tokens(ForwardContext& context, int index) {
  std::int64_t row = 0;
  const std::int64_t work_each = context.config.layer(index).attention.q_rows();
  for (const SequenceChunk& chunk : context.batch.chunks) {
    for_ranges(context.pool, chunk.count, 8, work_each, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t)
        finish_token(context, index, row + t, chunk.sequence, chunk.start + t);
    });
    row += chunk.count;
  }
}

/// Elements of the heads of all tokens: head h of token t begins at t * stride + h * head_stride.
struct HeadColumns {
  float* data = nullptr;
  std::int64_t stride = 0;
  std::int64_t head_stride = 0;
};

/// to = matrices[head] from, head by head, all in one loop.
void multiply_heads(ForwardContext& context, const std::vector<Matrix>& matrices, const HeadColumns& from,
                    const HeadColumns& to) {
  Workspace& work = context.work;
  const std::int64_t cols = matrices.front().cols;
  const std::size_t bytes = packed_bytes(context.tokens, cols);
  const Arithmetic arithmetic = shared_arithmetic(context, {&matrices.front()});
  const auto packed = [&](std::int64_t head) {
    return plan_activations(context.kernels, arithmetic, context.tokens, cols,
                            work.packed.data() + static_cast<std::size_t>(head) * bytes);
  };
  const auto heads = std::ssize(matrices);
  for_ranges(context.pool, heads, 1, context.tokens * cols, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head)
      context.kernels.pack({.data = from.data + head * from.head_stride,
                            .stride = from.stride,
                            .rows = context.tokens,
                            .cols = cols},
                           packed(head), 0, context.tokens);
  });
  work.products.clear();
  for (std::int64_t head = 0; head < heads; ++head)
    work.products.add(matrices[head], packed(head), to.data + head * to.head_stride, to.stride);
  work.products.run(context.kernels, context.pool);
}

}  // namespace

void project_latents(ForwardContext& context, int index) {
  const AttentionSpec& spec = context.config.layer(index).attention;
  const LayerWeights& layer = context.weights.layers[index];
  Workspace& work = context.work;
  project_input(context, spec, layer);
  if (spec.latent.q_rank > 0) project_queries(context, spec.latent, layer);
  finish_tokens(context, index);
  multiply_heads(context, layer.latent_keys, {work.q.data(), spec.q_rows(), spec.query_dim()},
                 {work.latent_queries.data() + spec.rotary.width, spec.query_width(), spec.head_dim});
}

void expand_means(ForwardContext& context, int index) {
  const AttentionSpec& spec = context.config.layer(index).attention;
  const LatentSpec& latent = spec.latent;
  Workspace& work = context.work;
  multiply_heads(context, context.weights.layers[index].latent_values,
                 {work.latent_means.data(), std::int64_t{spec.heads} * latent.rank, latent.rank},
                 {work.attended.data(), spec.output_width(), latent.value_dim});
}

}  // namespace expertscope::cpu
