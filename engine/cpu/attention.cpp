// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

/// q, k and v of all tokens, in work.q, work.k and work.v.
void project(ForwardContext& context, const LayerWeights& layer) {
  Workspace& work = context.work;
  // What is not there takes part as another that is.
  const Matrix& v_proj = layer.v_proj ? layer.v_proj : layer.k_proj;
  const Matrix& gate = layer.attention_gate ? layer.attention_gate : layer.q_proj;
  const Arithmetic arithmetic = shared_arithmetic(context, {&layer.q_proj, &layer.k_proj, &v_proj, &gate});
  const auto input =
      pack_rows(context, work.normed.data(), context.tokens, context.config.hidden_size, arithmetic);
  work.products.clear();
  work.products.add(layer.q_proj, input, work.q.data(), layer.q_proj.rows);
  work.products.add(layer.k_proj, input, work.k.data(), layer.k_proj.rows);
  if (layer.v_proj) work.products.add(layer.v_proj, input, work.v.data(), layer.v_proj.rows);
  if (layer.attention_gate)
    work.products.add(layer.attention_gate, input, work.attention_gate.data(), layer.attention_gate.rows);
  work.products.run(context.kernels, context.pool);
}

/// Norm (where the model has one) and rotation of the heads in `row`.
void finish_row(const ForwardContext& context, int index, const Vector& norm, int heads,
                std::int64_t position, float* row) {
  const LayerSpec& spec = context.config.layer(index);
  const int width = spec.attention.head_dim;
  if (spec.attention.qk_norm == AttentionSpec::QkNorm::whole) {
    context.kernels.rms_norm(row, norm.data(), std::int64_t{heads} * width, spec.norm.eps, row);
  }
  const RopeTable& rope = context.rope.of_layer(index);
  for (int n = 0; n < heads; ++n) {
    float* head = row + n * width;
    if (spec.attention.qk_norm == AttentionSpec::QkNorm::head) {
      context.kernels.rms_norm(head, norm.data(), width, spec.norm.eps, head);
    }
    context.kernels.rope(head, rope.cosine(position), rope.sine(position), rope.width());
  }
}

/// Moves the heads of a row of q_proj together, and the gates that stand behind them to `gate`.
void split_gates(const AttentionSpec& attention, float* q, float* gate) {
  const std::int64_t width = attention.head_dim;
  for (int head = 0; head < attention.heads; ++head) {
    std::copy_n(q + (2 * head + 1) * width, width, gate + head * width);
    std::copy_n(q + 2 * head * width, width, q + head * width);
  }
}

/// Bias, norm and rotation of one token's heads; its key and value go into the cache.
void finish_token(ForwardContext& context, int index, std::int64_t row, int sequence, std::int64_t position) {
  const AttentionSpec& attention = context.config.layer(index).attention;
  const LayerWeights& layer = context.weights.layers[index];
  float* q = context.work.q.data() + row * layer.q_proj.rows;
  float* k = context.work.k.data() + row * layer.k_proj.rows;
  float* v = context.work.v.data() + row * layer.k_proj.rows;
  add_bias(context, layer.q_bias, q);
  add_bias(context, layer.k_bias, k);
  add_bias(context, layer.v_bias, v);
  if (attention.keys_as_values) std::copy_n(k, attention.key_width(), v);
  if (attention.gate_in_q)
    split_gates(attention, q, context.work.attention_gate.data() + row * attention.gate);
  finish_row(context, index, layer.q_norm, attention.heads, position, q);
  finish_row(context, index, layer.k_norm, attention.kv_heads, position, k);
  const int width = attention.head_dim;
  for (int head = 0; head < attention.kv_heads; ++head) {
    if (attention.v_norm)
      context.kernels.rms_norm(v + head * width, context.work.ones.data(), width,
                               context.config.layer(index).norm.eps, v + head * width);
    store_cached(context, k + head * width, width, context.cache.key(sequence, index, head, position));
    store_cached(context, v + head * width, width, context.cache.value(sequence, index, head, position));
  }
}

void finish_heads(ForwardContext& context, int index) {
  std::int64_t row = 0;
  const std::int64_t work_each = context.weights.layers[index].q_proj.rows * 4;
  for (const SequenceChunk& chunk : context.batch.chunks) {
    for_ranges(context.pool, chunk.count, 8, work_each, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        finish_token(context, index, row + t, chunk.sequence, chunk.start + t);
      }
    });
    row += chunk.count;
  }
}

/// Query heads that share what one task reads: those of a kv head. A latent is shared by all, and they are
/// dealt out to several tasks.
int task_heads(const AttentionSpec& attention) {
  constexpr int kLatentHeads = 8;  // with one token, as many rows as share the keys they load
  return attention.has_latent() ? std::min(attention.heads, kLatentHeads) : attention.group();
}

/// Blocks of query tokens, heads of one chunk together. Late tokens of a chunk see the most keys: they come
/// first, so that no thread starts the longest piece last.
void list_blocks(ForwardContext& context, int index) {
  auto& blocks = context.work.attention_blocks;
  const AttentionSpec& attention = context.config.layer(index).attention;
  const int each = task_heads(attention);
  blocks.clear();
  int row = 0;
  for (std::size_t c = 0; c < context.batch.chunks.size(); ++c) {
    const int count = context.batch.chunks[c].count;
    const int pieces = (count + kAttentionTokens - 1) / kAttentionTokens;
    for (int piece = pieces - 1; piece >= 0; --piece) {
      const int begin = piece * kAttentionTokens;
      for (int head = 0; head < attention.heads; head += each)
        blocks.push_back({.chunk = static_cast<int>(c),
                          .head = head,
                          .heads = std::min(each, attention.heads - head),
                          .row = row,
                          .begin = begin,
                          .count = std::min(kAttentionTokens, count - begin)});
    }
    row += count;
  }
}

bool wants_first_token(const ForwardContext& context) {
  return context.capture != nullptr && context.capture->request.attention;
}

AttentionTask task_of(ForwardContext& context, int index, const AttentionBlock& block) {
  const AttentionSpec& attention = context.config.layer(index).attention;
  const SequenceChunk& chunk = context.batch.chunks[block.chunk];
  const bool latent = attention.has_latent();
  const std::int64_t row = block.row + block.begin;
  const int kv_head = block.head / attention.group();
  Workspace& work = context.work;
  AttentionTask task;
  task.q_stride = latent ? attention.query_width() : context.weights.layers[index].q_proj.rows;
  task.q = (latent ? work.latent_queries : work.q).data() + row * task.q_stride +
           std::int64_t{block.head} * attention.head_dim;
  task.group = block.heads;
  task.head_dim = attention.head_dim;
  task.value_dim = attention.cached_value_dim();
  task.k = context.cache.key(chunk.sequence, index, kv_head, 0);
  task.v = context.cache.value(chunk.sequence, index, kv_head, 0);
  task.kv_stride = attention.head_dim;
  task.kv_bf16 = context.cache.bf16();
  task.window = attention.window;
  const Vector& sinks = context.weights.layers[index].sinks;
  if (!sinks.empty()) task.sinks = sinks.data() + block.head;
  task.position = chunk.start + block.begin;
  task.tokens = block.count;
  task.scale = attention.score_scale();
  task.out_stride = std::int64_t{attention.heads} * task.value_dim;
  task.out = (latent ? work.latent_means : work.attended).data() + row * task.out_stride +
             std::int64_t{block.head} * task.value_dim;
  if (wants_first_token(context)) {
    task.first_stride = attention.heads;
    task.first = work.first_weights.data() + row * task.first_stride + block.head;
  }
  return task;
}

void attend(ForwardContext& context, int index) {
  list_blocks(context, index);
  const auto& blocks = context.work.attention_blocks;
  const AttentionBlock& first = blocks.front();
  const std::int64_t keys = context.batch.chunks[first.chunk].start + first.count;
  for_ranges(context.pool, static_cast<std::int64_t>(blocks.size()), 1,
             keys * first.count * context.config.layer(index).attention.head_dim,
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t b = begin; b < end; ++b) {
                 context.kernels.attention(task_of(context, index, blocks[b]));
               }
             });
}

/// The probe: mean over the query heads, in their order whatever the threads did.
void capture_first_token(const ForwardContext& context, int layer) {
  if (!wants_first_token(context)) return;
  const std::int64_t heads = context.config.layer(layer).attention.heads;
  float* mass = context.capture->first_token_attention.data() + layer * context.tokens;
  for_ranges(context.pool, context.tokens, 64, heads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const float* weights = context.work.first_weights.data() + t * heads;
      mass[t] = std::accumulate(weights, weights + heads, 0.0f) / static_cast<float>(heads);
    }
  });
}

/// attended *= sigmoid(gate), one gate an element or one a head.
void gate_heads(ForwardContext& context, int index) {
  const AttentionSpec& spec = context.config.layer(index).attention;
  if (spec.gate == 0) return;
  Workspace& work = context.work;
  const std::int64_t width = spec.query_width();
  const std::int64_t each = width / spec.gate;
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * width; i < end * width; ++i)
      work.attended[i] *= 1.0f / (1.0f + std::exp(-work.attention_gate[i / each]));
  });
}

}  // namespace

void attention(ForwardContext& context, int index) {
  const LayerWeights& layer = context.weights.layers[index];
  const bool latent = context.config.layer(index).attention.has_latent();
  take_input(context, index, layer.input_layernorm);
  if (latent) {
    project_latents(context, index);
  } else {
    project(context, layer);
    finish_heads(context, index);
  }
  attend(context, index);
  capture_first_token(context, index);
  if (latent) expand_means(context, index);
  gate_heads(context, index);
  add_projected(context, index, layer.o_proj, layer.o_bias);
}

void store_cached(const ForwardContext& context, const float* head, std::int64_t width, void* place) {
  if (context.cache.bf16()) {
    context.kernels.to_bf16(head, width, static_cast<std::uint16_t*>(place));
  } else {
    std::copy(head, head + width, static_cast<float*>(place));
  }
}

void add_projected(ForwardContext& context, int index, const Matrix& projection, const Vector& bias) {
  Workspace& work = context.work;
  const auto input = pack_rows(context, work.attended.data(), context.tokens, projection.cols,
                               shared_arithmetic(context, {&projection}));
  const std::int64_t width = context.config.hidden_size;
  const LayerSpec& spec = context.config.layer(index);
  const Vector& norm = context.weights.layers[index].attention_post_norm;
  work.products.clear();
  work.products.add(projection, input, work.projected.data(), width);
  work.products.run(context.kernels, context.pool);
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      float* row = work.projected.data() + t * width;
      add_bias(context, bias, row);
      if (spec.norm_after) context.kernels.rms_norm(row, norm.data(), width, spec.norm.eps, row);
      context.kernels.axpy(1.0f, row, width, work.hidden.data() + t * width);
    }
  });
}

}  // namespace expertscope::cpu
