// SPDX-License-Identifier: GPL-3.0-or-later
//
// What attention and what stands in its place do: the mixers of engine/cpu/reference.cpp, in the same order
// and under the same names.
#include "engine/backend/intermediates.h"
#include "engine/cuda/plain/attention.cuh"
#include "engine/cuda/plain/latent.cuh"
#include "engine/cuda/plain/layer.h"

namespace expertscope::cuda::plain {
namespace named = intermediate;

// ----------------------------------------------------------------------------------------------- attention

void Layer::rotate(float* x, int heads) {
  threads(queue_, &plain::rotate, values(heads * (spec_.attention.rotary.width / 2)), spec_.attention, heads,
          step_.rope.of_layer(index_), step_.input.position, x);
}

/// heads = softmax(scores) values, and the mean weight of position 0 for the probe.
void Layer::attend_all() {
  const AttentionSpec& spec = spec_.attention;
  const AttentionRows rows{step_.input.position, step_.input.sequence, room_.q,           weights_.sinks.data,
                           room_.scores,         room_.heads,          room_.first_token, spec.score_scale()};
  threads(queue_, &remember, values(spec.key_width()), spec, step_.cache, index_, rows, room_.k, room_.v);
  for (int first = 0; first < tokens_; first += room_.attended)
    warps(queue_, &attend, size(std::min(room_.attended, tokens_ - first), spec.heads), spec, step_.cache,
          index_, rows, first);
  float* captured = step_.input.capture.first_token_attention;
  if (captured != nullptr)
    threads(queue_, &mean, values(1), room_.first_token, spec.heads, captured + values(index_));
}

void Layer::attention(const float* x, float* y) {
  queue_.enter("attention", index_);
  const AttentionSpec& spec = spec_.attention;
  const int queries = spec.query_width();
  const int keys = spec.key_width();
  product(weights_.q_proj, x, spec.gate_in_q ? room_.q_and_gate : room_.q);
  if (spec.gate_in_q)
    threads(queue_, &split_gates, values(queries), spec.head_dim, room_.q_and_gate, room_.q,
            room_.attention_gate);
  product(weights_.k_proj, x, room_.k);
  if (spec.keys_as_values) {
    queue_.copy(room_.v, room_.k, values(keys) * sizeof(float), cudaMemcpyDeviceToDevice);
  } else {
    product(weights_.v_proj, x, room_.v);
  }
  see(named::kQ, room_.q, queries);
  see(named::kK, room_.k, keys);
  see(named::kV, room_.v, keys);
  if (spec.qk_norm != AttentionSpec::QkNorm::none) {
    norm(weights_.q_norm, {}, room_.q, room_.q, queries);
    norm(weights_.k_norm, {}, room_.k, room_.k, keys);
    see(named::kQNorm, room_.q, queries);
    see(named::kKNorm, room_.k, keys);
  }
  if (spec.v_norm) norm({nullptr, spec.head_dim}, {}, room_.v, room_.v, keys);
  rotate(room_.q, spec.heads);
  rotate(room_.k, spec.kv_heads);
  attend_all();
  see(named::kQRotary, room_.q, queries);
  see(named::kKRotary, room_.k, keys);
  see(named::kAttnHeads, room_.heads, queries);
  if (spec.gate) {  // one gate an element, or one a head
    const int gates = spec.gate;
    if (!spec.gate_in_q) product(weights_.attention_gate, x, room_.attention_gate);
    threads(queue_, &sigmoid, values(gates), room_.attention_gate);
    see(named::kAttnGate, room_.attention_gate, gates);
    threads(queue_, &multiply, values(queries), room_.attention_gate,
            static_cast<std::size_t>(queries / gates), room_.heads);
  }
  product(weights_.o_proj, room_.heads, y);
}

// ------------------------------------------------------------------------------------------ latent attention

/// room.q = [what turns, K^T q] of every head, not yet turned.
void Layer::latent_queries(const float* x) {
  const AttentionSpec& spec = spec_.attention;
  const LatentSpec& latent = spec.latent;
  if (latent.q_rank > 0) {
    product(weights_.q_a_proj, x, room_.latent_q);
    latent_norm(weights_.q_a_norm, room_.latent_q, latent.q_rank);
    see(named::kQLatent, room_.latent_q, latent.q_rank);
    product(weights_.q_b_proj, room_.latent_q, room_.q_and_gate);
  } else {
    product(weights_.q_proj, x, room_.q_and_gate);
  }
  see(named::kQ, room_.q_and_gate, spec.q_rows());
  const int turning = spec.rotary.width;
  threads(queue_, &copy_columns, values(spec.heads * turning),
          Columns{room_.q_and_gate, spec.query_dim(), latent.nope_dim}, Columns{room_.q, spec.head_dim, 0},
          turning);
  threads(queue_, &absorb_keys, values(spec.heads * latent.rank), spec, weights_.kv_b_proj,
          Columns{room_.q_and_gate, spec.query_dim(), 0}, Columns{room_.q, spec.head_dim, turning});
}

/// room.k = [what turns, the latent, normed], not yet turned.
void Layer::latent_keys(const float* x) {
  const AttentionSpec& spec = spec_.attention;
  const int rank = spec.latent.rank;
  const int turning = spec.rotary.width;
  product(weights_.kv_a_proj, x, room_.v);  // the latent first
  threads(queue_, &copy_columns, values(rank), Columns{room_.v, spec.head_dim, 0},
          Columns{room_.latent, rank, 0}, rank);
  latent_norm(weights_.kv_a_norm, room_.latent, rank);
  threads(queue_, &copy_columns, values(turning), Columns{room_.v, spec.head_dim, rank},
          Columns{room_.k, spec.head_dim, 0}, turning);
  threads(queue_, &copy_columns, values(rank), Columns{room_.latent, rank, 0},
          Columns{room_.k, spec.head_dim, turning}, rank);
  see(named::kLatent, room_.k, spec.head_dim);
}

void Layer::latent_attention(const float* x, float* y) {
  queue_.enter("latent attention", index_);
  const AttentionSpec& spec = spec_.attention;
  latent_queries(x);
  latent_keys(x);
  rotate(room_.q, spec.heads);
  rotate(room_.k, 1);
  attend_all();
  warps(queue_, &expand_values, values(spec.output_width()), spec, weights_.kv_b_proj, room_.heads,
        room_.latent_heads);
  see(named::kKRotary, room_.k, spec.head_dim);
  see(named::kAttnHeads, room_.latent_heads, spec.output_width());
  product(weights_.o_proj, room_.latent_heads, y);
}

// ------------------------------------------------------------------------------------------ linear attention

DeltaRows Layer::delta_rows() const {
  const DeltaNetSpec& spec = spec_.delta_net;
  const WidestLayer most = step_.config.widest();
  const std::size_t sequences = size(step_.config.delta_nets_before(index_), room_.sequences);
  return {.position = step_.input.position,
          .sequence = step_.input.sequence,
          .qkv = room_.delta_in,
          .z = room_.delta_in + values(spec.channels()),
          .b = room_.delta_gates,
          .a = room_.delta_gates + values(spec.value_heads),
          .tokens = tokens_,
          .inputs = room_.delta_inputs + sequences * static_cast<std::size_t>(most.delta_inputs),
          .states = room_.delta_states + sequences * static_cast<std::size_t>(most.delta_states),
          .convolved = room_.delta_convolved,
          .decay = room_.delta_decay,
          .beta = room_.delta_beta,
          .heads = room_.heads};
}

void Layer::linear_attention(const float* x, float* y) {
  queue_.enter("linear attention", index_);
  const DeltaNetSpec& spec = spec_.delta_net;
  const DeltaRows rows = delta_rows();
  const StoredLayer& w = weights_;
  if (spec.grouped) {
    product(w.delta_qkvz, x, room_.delta_in);
    product(w.delta_ba, x, room_.delta_gates);
  } else {
    product(w.delta_qkv, x, room_.delta_in);
    product(w.delta_z, x, room_.delta_in + values(spec.channels()));
    product(w.delta_b, x, room_.delta_gates);
    product(w.delta_a, x, room_.delta_gates + values(spec.value_heads));
  }
  threads(queue_, &convolve, values(spec.channels()), spec, rows, w.delta_conv.data);
  see(named::kDeltaConv, rows.convolved, spec.channels());
  threads(queue_, &keep_inputs, values(spec.channels()), spec, rows);
  threads(queue_, &delta_gates, values(spec.value_heads), spec, rows, w.delta_a_log.data,
          w.delta_dt_bias.data);
  threads(queue_, &make_unit, values(2 * spec.key_heads), spec, rows);
  threads(queue_, &run_states, values(spec.values()), spec, rows);
  see(named::kDeltaDecay, rows.decay, spec.value_heads);
  see(named::kDeltaBeta, rows.beta, spec.value_heads);
  see(named::kDeltaHeads, rows.heads, spec.values());
  norm(w.delta_norm, {}, rows.heads, rows.heads, spec.values());
  threads(queue_, &gate_values, values(spec.values()), spec, rows);
  product(w.delta_out, rows.heads, y);
}

}  // namespace expertscope::cuda::plain
