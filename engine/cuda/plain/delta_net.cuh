// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/backend/activation.h"
#include "engine/backend/delta_rule.h"
#include "engine/cuda/plain/kernels.cuh"

/// engine/cpu/reference_delta_net.cpp, one kernel an operation, as in kernels.cuh.
namespace expertscope::cuda::plain {

/// Arrays of all tokens of the batch.
struct DeltaRows {
  const std::int32_t* position = nullptr;
  const std::int32_t* sequence = nullptr;
  const float* qkv = nullptr;  ///< [tokens, channels]; DeltaNetSpec::grouped: q, k, v and z by key head
  const float* z = nullptr;    ///< [tokens, values]; grouped: as qkv
  const float* b = nullptr;    ///< [tokens, value_heads]; grouped: b and a by key head
  const float* a = nullptr;    ///< [tokens, value_heads]; grouped: as b
  int tokens = 0;
  float* inputs = nullptr;     ///< [sequences, taps - 1, channels] the last ones, the oldest first
  float* states = nullptr;     ///< [sequences, value_heads, key_dim, value_dim]
  float* convolved = nullptr;  ///< [tokens, channels]
  float* decay = nullptr;      ///< [tokens, value_heads]
  float* beta = nullptr;       ///< [tokens, value_heads]
  float* heads = nullptr;      ///< [tokens, values]
};

/// Element `channel` of the queries, keys and values of a token.
__device__ inline float input_of(const DeltaNetSpec& spec, const DeltaRows& rows, int token, int channel) {
  const auto row = static_cast<std::size_t>(token);
  if (!spec.grouped) return rows.qkv[at(row, spec.channels()) + static_cast<std::size_t>(channel)];
  const int wide = spec.group() * spec.value_dim;  // values of a key head
  const bool value = channel >= 2 * spec.keys();
  const int within = value ? channel - 2 * spec.keys() : channel % spec.keys();
  const int head = within / (value ? wide : spec.key_dim);
  const int kind = value ? 2 : channel / spec.keys();
  const int column =
      head * 2 * (spec.key_dim + wide) + kind * spec.key_dim + within % (value ? wide : spec.key_dim);
  return rows.qkv[at(row, spec.channels() + spec.values()) + static_cast<std::size_t>(column)];
}

__device__ inline float gate_of(const DeltaNetSpec& spec, const DeltaRows& rows, std::size_t token,
                                int value) {
  if (!spec.grouped) return rows.z[at(token, spec.values()) + static_cast<std::size_t>(value)];
  const int wide = spec.group() * spec.value_dim;
  const int column = value / wide * 2 * (spec.key_dim + wide) + 2 * spec.key_dim + wide + value % wide;
  return rows.qkv[at(token, spec.channels() + spec.values()) + static_cast<std::size_t>(column)];
}

/// Whether a row is the first, or the last, of its sequence in the batch: its tokens stand together.
__device__ inline bool begins(const DeltaRows& rows, int row) {
  return row == 0 || rows.sequence[row - 1] != rows.sequence[row];
}
__device__ inline bool ends(const DeltaRows& rows, int row) {
  return row + 1 == rows.tokens || rows.sequence[row + 1] != rows.sequence[row];
}

/// The input of the convolution `back` tokens before `row`: of the batch, of the tokens before it, or 0.
__device__ inline float input_before(const DeltaNetSpec& spec, const DeltaRows& rows, int row, int back,
                                     int channel) {
  if (back > rows.position[row]) return 0.0f;
  while (back > 0 && !begins(rows, row)) {
    --back;
    --row;
  }
  if (back == 0) return input_of(spec, rows, row, channel);
  const auto place = static_cast<std::size_t>(rows.sequence[row] * (spec.taps - 1) + spec.taps - 1 - back);
  return rows.inputs[at(place, spec.channels()) + static_cast<std::size_t>(channel)];
}

/// convolved = silu(sum over the taps), a thread an element.
inline __global__ void convolve(std::size_t count, DeltaNetSpec spec, DeltaRows rows, const float* taps) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const auto row = static_cast<int>(i / static_cast<std::size_t>(spec.channels()));
  const auto channel = static_cast<int>(i % static_cast<std::size_t>(spec.channels()));
  float sum = 0;
  for (int tap = 0; tap < spec.taps; ++tap)
    sum += taps[channel * spec.taps + tap] * input_before(spec, rows, row, spec.taps - 1 - tap, channel);
  rows.convolved[i] = rules::silu(sum);
}

/// The last inputs of every sequence, for its next step. A thread an element of each row; those of the last
/// row of a sequence work, from the oldest on, which moves forward what is kept of a short step.
inline __global__ void keep_inputs(std::size_t count, DeltaNetSpec spec, DeltaRows rows) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const auto row = static_cast<int>(i / static_cast<std::size_t>(spec.channels()));
  const auto channel = static_cast<int>(i % static_cast<std::size_t>(spec.channels()));
  if (!ends(rows, row)) return;
  for (int place = 0; place < spec.taps - 1; ++place)
    rows.inputs[at(static_cast<std::size_t>(rows.sequence[row] * (spec.taps - 1) + place), spec.channels()) +
                static_cast<std::size_t>(channel)] =
        input_before(spec, rows, row, spec.taps - 2 - place, channel);
}

/// decay and beta, a thread a value head of a token.
inline __global__ void delta_gates(std::size_t count, DeltaNetSpec spec, DeltaRows rows, const float* a_log,
                                   const float* dt_bias) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const std::size_t token = i / static_cast<std::size_t>(spec.value_heads);
  const auto head = static_cast<int>(i % static_cast<std::size_t>(spec.value_heads));
  const int group = spec.group();
  const std::size_t grouped =
      at(token, 2 * spec.value_heads) + static_cast<std::size_t>(head / group * 2 * group + head % group);
  const float b = spec.grouped ? rows.b[grouped] : rows.b[i];
  const float a = spec.grouped ? rows.b[grouped + static_cast<std::size_t>(group)] : rows.a[i];
  rows.decay[i] = rules::delta_decay(a_log[head], dt_bias[head], a);
  rows.beta[i] = 1.0f / (1.0f + expf(-b));
}

/// Queries and keys become unit vectors, queries / sqrt(key_dim). A thread a head of one of them.
inline __global__ void make_unit(std::size_t count, DeltaNetSpec spec, DeltaRows rows) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const std::size_t token = i / static_cast<std::size_t>(2 * spec.key_heads);
  const auto head = static_cast<int>(i % static_cast<std::size_t>(2 * spec.key_heads));
  float* x = rows.convolved + at(token, spec.channels()) + static_cast<std::size_t>(head * spec.key_dim);
  float squares = 0;
  for (int d = 0; d < spec.key_dim; ++d)
    squares += x[d] * x[d];
  const float scale = head < spec.key_heads ? 1.0f / sqrtf(static_cast<float>(spec.key_dim)) : 1.0f;
  for (int d = 0; d < spec.key_dim; ++d)
    x[d] *= scale / sqrtf(squares + rules::kDeltaNormEps);
}

/// The tokens of each sequence, one after the other, through its states. A thread a column of a value head of
/// every row; those of the first row of a sequence work.
inline __global__ void run_states(std::size_t count, DeltaNetSpec spec, DeltaRows rows) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  auto row = static_cast<int>(i / static_cast<std::size_t>(spec.values()));
  const auto value = static_cast<int>(i % static_cast<std::size_t>(spec.values()));
  if (!begins(rows, row)) return;
  const int head = value / spec.value_dim;
  float* column = rows.states +
                  at(static_cast<std::size_t>(rows.sequence[row] * spec.value_heads + head),
                     spec.key_dim * spec.value_dim) +
                  static_cast<std::size_t>(value % spec.value_dim);
  for (int d = 0; d < spec.key_dim && rows.position[row] == 0; ++d)
    column[d * spec.value_dim] = 0.0f;
  for (bool last = false; !last; ++row) {
    last = ends(rows, row);
    const std::size_t token = at(static_cast<std::size_t>(row), spec.channels());
    const float* q = rows.convolved + token + static_cast<std::size_t>(head / spec.group() * spec.key_dim);
    const float* k = q + spec.keys();
    const float v = rows.convolved[token + static_cast<std::size_t>(2 * spec.keys() + value)];
    const std::size_t gate =
        at(static_cast<std::size_t>(row), spec.value_heads) + static_cast<std::size_t>(head);
    float known = 0;
    for (int d = 0; d < spec.key_dim; ++d) {
      column[d * spec.value_dim] *= rows.decay[gate];
      known += k[d] * column[d * spec.value_dim];
    }
    const float delta = rows.beta[gate] * (v - known);
    float answer = 0;
    for (int d = 0; d < spec.key_dim; ++d) {
      column[d * spec.value_dim] += k[d] * delta;
      answer += q[d] * column[d * spec.value_dim];
    }
    rows.heads[at(static_cast<std::size_t>(row), spec.values()) + static_cast<std::size_t>(value)] = answer;
  }
}

/// heads *= silu(z), a thread an element.
inline __global__ void gate_values(std::size_t count, DeltaNetSpec spec, DeltaRows rows) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const std::size_t token = i / static_cast<std::size_t>(spec.values());
  const auto value = static_cast<int>(i % static_cast<std::size_t>(spec.values()));
  rows.heads[i] *= rules::silu(gate_of(spec, rows, token, value));
}

/// What q_proj gives of a token, whose gates stand behind each head's query. A thread an element of q.
inline __global__ void split_gates(std::size_t count, int head_dim, const float* both, float* q,
                                   float* gate) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const auto width = static_cast<std::size_t>(head_dim);
  const std::size_t place = i / width * 2 * width + i % width;
  q[i] = both[place];
  gate[i] = both[place + width];
}

}  // namespace expertscope::cuda::plain
