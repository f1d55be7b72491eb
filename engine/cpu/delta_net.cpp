// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>

#include "engine/backend/delta_rule.h"
#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

/// q, k and v of a token as the convolution has them, all queries, all keys, all values; and z. `row` has
/// them by key head.
void ungroup(const DeltaNetSpec& spec, const float* row, float* qkv, float* z) {
  const int key = spec.key_dim;
  const int values = spec.group() * spec.value_dim;  // of a key head
  for (int head = 0; head < spec.key_heads; ++head, row += 2 * (key + values)) {
    std::copy_n(row, key, qkv + head * key);
    std::copy_n(row + key, key, qkv + spec.keys() + head * key);
    std::copy_n(row + 2 * key, values, qkv + 2 * spec.keys() + head * values);
    std::copy_n(row + 2 * key + values, values, z + head * values);
  }
}

/// b and a of a token, both [value_heads]; `ba` is grouped.
void ungroup_gates(const DeltaNetSpec& spec, const float* ba, float* b, float* a) {
  const int group = spec.group();
  for (int head = 0; head < spec.key_heads; ++head, ba += 2 * group) {
    std::copy_n(ba, group, b + head * group);
    std::copy_n(ba + group, group, a + head * group);
  }
}

/// work.delta_qkv, delta_z, delta_b and delta_a of all tokens.
void project(ForwardContext& context, const DeltaNetSpec& spec, const LayerWeights& layer) {
  Workspace& work = context.work;
  const Matrix* const all[] = {&layer.delta_qkv, &layer.delta_z, &layer.delta_b, &layer.delta_a};
  float* const places[] = {work.delta_qkv.data(), work.delta_z.data(), work.delta_b.data(),
                           work.delta_a.data()};
  const Arithmetic arithmetic = spec.grouped
                                    ? shared_arithmetic(context, {&layer.delta_qkvz, &layer.delta_ba})
                                    : shared_arithmetic(context, {all[0], all[1], all[2], all[3]});
  const auto input =
      pack_rows(context, work.normed.data(), context.tokens, context.config.hidden_size, arithmetic);
  work.products.clear();
  if (!spec.grouped) {
    for (int i = 0; i < 4; ++i)
      work.products.add(*all[i], input, places[i], all[i]->rows);
    work.products.run(context.kernels, context.pool);
    return;
  }
  work.products.add(layer.delta_qkvz, input, work.delta_grouped.data(), layer.delta_qkvz.rows);
  work.products.add(layer.delta_ba, input, work.delta_gates.data(), layer.delta_ba.rows);
  work.products.run(context.kernels, context.pool);
  for_ranges(
      context.pool, context.tokens, 16, layer.delta_qkvz.rows, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
          ungroup(spec, work.delta_grouped.data() + t * layer.delta_qkvz.rows,
                  work.delta_qkv.data() + t * spec.channels(), work.delta_z.data() + t * spec.values());
          ungroup_gates(spec, work.delta_gates.data() + t * layer.delta_ba.rows,
                        work.delta_b.data() + t * spec.value_heads,
                        work.delta_a.data() + t * spec.value_heads);
        }
      });
}

/// Convolves the tokens of a chunk, the first of them in `row`, into work.delta_convolved, and keeps the last
/// inputs.
void convolve(ForwardContext& context, const DeltaNetSpec& spec, int index, const SequenceChunk& chunk,
              std::int64_t row) {
  Workspace& work = context.work;
  const std::int64_t channels = spec.channels();
  float* const before = context.delta_states.inputs(chunk.sequence, index);
  const float* const inputs = work.delta_qkv.data() + row * channels;
  // Token t of the chunk; before its first one come those that were kept.
  const auto input = [&](std::int64_t t) {
    return t < 0 ? before + (t + spec.taps - 1) * channels : inputs + t * channels;
  };
  for_ranges(context.pool, chunk.count, 8, channels * spec.taps, [&](std::int64_t begin, std::int64_t end) {
    const float* rows[DeltaNetSpec::kMaxTaps];
    for (std::int64_t t = begin; t < end; ++t) {
      for (int tap = 0; tap < spec.taps; ++tap)
        rows[tap] = input(t - spec.taps + 1 + tap);
      context.kernels.convolve(rows, context.delta_states.taps(index), spec.taps, channels,
                               work.delta_convolved.data() + (row + t) * channels);
    }
  });
  // Upwards, so that of a short chunk those that stay move before their place is taken.
  for (std::int64_t t = 0; t < spec.taps - 1; ++t)
    std::copy_n(input(chunk.count - spec.taps + 1 + t), channels, before + t * channels);
}

/// to = x / sqrt(sum x^2 + eps) * scale
void unit(const Kernels& kernels, const float* x, std::int64_t n, float scale, float* to) {
  const float norm = kernels.row_stats(x, n).norm;
  std::fill_n(to, n, 0.0f);
  kernels.axpy(scale / std::sqrt(norm * norm + rules::kDeltaNormEps), x, n, to);
}

/// The tokens of a chunk, one after the other, through value heads [begin, end).
void run_heads(ForwardContext& context, int index, const SequenceChunk& chunk, std::int64_t row,
               std::int64_t begin, std::int64_t end) {
  const LayerSpec& spec = context.config.layer(index);
  const DeltaNetSpec& delta = spec.delta_net;
  const LayerWeights& layer = context.weights.layers[static_cast<std::size_t>(index)];
  const Workspace& work = context.work;
  float q[DeltaNetSpec::kMaxHeadDim];
  float k[DeltaNetSpec::kMaxHeadDim];
  const float scale = 1.0f / std::sqrt(static_cast<float>(delta.key_dim));
  for (std::int64_t head = begin; head < end; ++head) {
    float* const state =
        context.delta_states.state(chunk.sequence, index) + head * delta.key_dim * delta.value_dim;
    for (std::int64_t t = row; t < row + chunk.count; ++t) {
      const float* qkv = work.delta_convolved.data() + t * delta.channels();
      const std::int64_t key = head / delta.group() * delta.key_dim;
      unit(context.kernels, qkv + key, delta.key_dim, scale, q);
      unit(context.kernels, qkv + delta.keys() + key, delta.key_dim, 1.0f, k);
      const std::int64_t gate = t * delta.value_heads + head;
      const auto of_head = static_cast<std::size_t>(head);
      const std::int64_t place = t * delta.values() + head * delta.value_dim;
      float* out = context.work.attended.data() + place;
      context.kernels.delta_step(
          {.state = state,
           .q = q,
           .k = k,
           .v = qkv + 2 * delta.keys() + head * delta.value_dim,
           .decay = rules::delta_decay(layer.delta_a_log[of_head], layer.delta_dt_bias[of_head],
                                       work.delta_a[static_cast<std::size_t>(gate)]),
           .beta = 1.0f / (1.0f + std::exp(-work.delta_b[static_cast<std::size_t>(gate)])),
           .key_dim = delta.key_dim,
           .value_dim = delta.value_dim,
           .out = out});
      context.kernels.rms_norm(out, layer.delta_norm.data(), delta.value_dim, spec.norm.eps, out);
      context.kernels.swiglu(MlpSpec(), work.delta_z.data() + place, out, delta.value_dim, out);
    }
  }
}

/// work.attended of all tokens.
void run_chunks(ForwardContext& context, int index) {
  const DeltaNetSpec& spec = context.config.layer(index).delta_net;
  std::int64_t row = 0;
  for (const SequenceChunk& chunk : context.batch.chunks) {
    if (chunk.start == 0) context.delta_states.clear(chunk.sequence, index);
    convolve(context, spec, index, chunk, row);
    row += chunk.count;
  }
  const auto chunks = static_cast<std::int64_t>(context.batch.chunks.size());
  const std::int64_t work_each = context.tokens / chunks * spec.key_dim * spec.value_dim;
  for_ranges(context.pool, chunks * spec.value_heads, 1, work_each,
             [&](std::int64_t begin, std::int64_t end) {
               std::int64_t first = 0;
               for (std::int64_t c = 0; c < chunks; ++c) {
                 const SequenceChunk& chunk = context.batch.chunks[static_cast<std::size_t>(c)];
                 const std::int64_t of_chunk = c * spec.value_heads;
                 const auto within = [&](std::int64_t at) {
                   return std::clamp<std::int64_t>(at - of_chunk, 0, spec.value_heads);
                 };
                 run_heads(context, index, chunk, first, within(begin), within(end));
                 first += chunk.count;
               }
             });
}

}  // namespace

void delta_net(ForwardContext& context, int index) {
  const LayerSpec& spec = context.config.layer(index);
  const LayerWeights& layer = context.weights.layers[static_cast<std::size_t>(index)];
  take_input(context, index, layer.input_layernorm);
  project(context, spec.delta_net, layer);
  run_chunks(context, index);
  add_projected(context, index, layer.delta_out, {});
}

}  // namespace expertscope::cpu
