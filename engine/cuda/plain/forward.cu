// SPDX-License-Identifier: GPL-3.0-or-later
//
// engine/cpu/reference.cpp on a GPU, in the same order and under the same names: read that first. Nothing is
// fused; the arithmetic is in kernels.cuh and attention.cuh.
#include "engine/cuda/plain/forward.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/backend/intermediates.h"
#include "engine/cuda/plain/attention.cuh"
#include "engine/cuda/plain/delta_net.cuh"
#include "engine/cuda/plain/kernels.cuh"
#include "engine/cuda/plain/latent.cuh"
#include "engine/cuda/plain/launch.h"

namespace expertscope::cuda::plain {
namespace {

namespace named = intermediate;

/// One layer of one step.
class Layer {
 public:
  Layer(const Step& step, int index, int moe_layer)
      : step_(step),
        room_(step.room),
        queue_(step.queue),
        spec_(step.config.layer(index)),
        weights_(step.weights.layers[static_cast<std::size_t>(index)]),
        index_(index),
        tokens_(step.input.tokens),
        width_(step.config.hidden_size),
        moe_row_(static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(tokens_)) {}

  void run();

 private:
  using MlpNames = std::array<const char*, 4>;
  /// gate, up, inner and down of an MLP; no columns where there is no gate.
  struct Part {
    const char* name;
    const float* values;
    int columns;
  };
  /// Those of all slots: [tokens, slots, columns].
  using SeenSlots = std::array<std::vector<float>, 4>;
  DeltaRows delta_rows() const;
  void linear_attention(const float* x, float* y);
  void attention(const float* x, float* y);
  void latent_attention(const float* x, float* y);
  void latent_queries(const float* x);
  void latent_keys(const float* x);
  void attend_all();
  void mlps(const float* x, float* sum);
  void routed(const float* x, float* sum);
  void mlp(const MlpSpec& spec, const StoredMlp& weights, const Choice& choice, const float* x);
  std::array<Part, 4> parts(const MlpNames& names, const MlpSpec& spec) const;
  void see(const MlpNames& names, const MlpSpec& spec) const;
  void take_slot(int slot, int slots, SeenSlots& seen) const;
  void see_slots(int slots, const SeenSlots& seen) const;
  void measure_slot(int slot, const Choice& choice);
  void measure_sum(const RoutedRows& rows, const float* sum);
  void measure_shared();
  void see(const char* name, const float* values, int columns) const {
    step_.see(name, index_, values, tokens_, columns);
  }
  std::size_t values(int columns) const { return size(tokens_, columns); }
  void product(const Matrices& w, const float* x, float* y, const Choice& choice = {}) {
    warps(queue_, &plain::product, values(w.rows), w, choice, x, y);
  }
  void norm(const StoredVector& weight, const StoredVector& bias, const float* x, float* y, int columns) {
    const std::size_t pieces = values(columns) / static_cast<std::size_t>(weight.size);
    warps(queue_, &plain::norm, pieces, spec_.norm, weight, bias, x, y);
  }
  void latent_norm(const StoredVector& weight, float* x, int columns) {
    NormSpec spec = spec_.norm;
    spec.eps = spec_.attention.latent.eps;
    warps(queue_, &plain::norm, values(columns) / static_cast<std::size_t>(weight.size), spec, weight,
          StoredVector{}, x, x);
  }
  void add(const float* x, float* y, const Factors& factors = {}) {
    threads(queue_, &plain::add, values(width_), factors, x, width_, y);
  }
  void rotate(float* x, int heads) {
    threads(queue_, &plain::rotate, values(heads * (spec_.attention.rotary.width / 2)), spec_.attention,
            heads, step_.rope.of_layer(index_), step_.input.position, x);
  }

  const Step& step_;
  const Room& room_;
  Queue& queue_;
  const LayerSpec& spec_;
  const StoredLayer& weights_;
  int index_, tokens_, width_;
  std::size_t moe_row_;  ///< of the probes
};

// ----------------------------------------------------------------------------------------------- attention

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
  product(weights_.v_proj, x, room_.v);
  see(named::kQ, room_.q, queries);
  see(named::kK, room_.k, keys);
  see(named::kV, room_.v, keys);
  if (spec.qk_norm != AttentionSpec::QkNorm::none) {
    norm(weights_.q_norm, {}, room_.q, room_.q, queries);
    norm(weights_.k_norm, {}, room_.k, room_.k, keys);
    see(named::kQNorm, room_.q, queries);
    see(named::kKNorm, room_.k, keys);
  }
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

// -------------------------------------------------------------------------------------------------- the MLPs

/// room.down = down(activation(gate x) * up x), or down(activation(up x)); of the expert that a token chose.
void Layer::mlp(const MlpSpec& spec, const StoredMlp& weights, const Choice& choice, const float* x) {
  product(weights.up, x, room_.up, choice);
  if (spec.gated) product(weights.gate, x, room_.gate, choice);
  threads(queue_, &activate, values(spec.width), spec, room_.gate, room_.up, room_.inner);
  product(weights.down, room_.inner, room_.down, choice);
}

std::array<Layer::Part, 4> Layer::parts(const MlpNames& names, const MlpSpec& spec) const {
  return {{{names[0], room_.gate, spec.gated ? spec.width : 0},
           {names[1], room_.up, spec.width},
           {names[2], room_.inner, spec.width},
           {names[3], room_.down, width_}}};
}

void Layer::see(const MlpNames& names, const MlpSpec& spec) const {
  for (const Part& part : parts(names, spec))
    if (part.columns > 0) see(part.name, part.values, part.columns);
}

/// For the observer, which sees the slots of a token behind each other.
void Layer::take_slot(int slot, int slots, SeenSlots& seen) const {
  if (step_.observer == nullptr || !queue_.ok()) return;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const Part part = parts({}, spec_.expert)[i];
    const std::size_t bytes = static_cast<std::size_t>(part.columns) * sizeof(float);
    if (bytes == 0) continue;
    seen[i].resize(values(slots * part.columns));
    queue_.note(cudaMemcpy2DAsync(
        seen[i].data() + slot * part.columns, static_cast<std::size_t>(slots) * bytes, part.values, bytes,
        bytes, static_cast<std::size_t>(tokens_), cudaMemcpyDeviceToHost, queue_.stream()));
  }
}

void Layer::see_slots(int slots, const SeenSlots& seen) const {
  queue_.wait();
  const auto all =
      parts({named::kExpertGate, named::kExpertUp, named::kExpertInner, named::kExpertDown}, spec_.expert);
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (queue_.ok() && !seen[i].empty())
      step_.observer->observe(all[i].name, index_, seen[i], slots * all[i].columns);
}

/// f_e of a slot of every token; those behind the layer's own slots are empty.
void Layer::measure_slot(int slot, const Choice& choice) {
  const DeviceCapture& capture = step_.input.capture;
  const std::size_t first =
      moe_row_ * static_cast<std::size_t>(choice.stride) + static_cast<std::size_t>(slot);
  if (capture.contribution != nullptr)
    warps(queue_, &measure, values(1), room_.down, width_, choice, nullptr,
          Measures{capture.contribution + first, nullptr, nullptr, choice.stride});
  if (capture.output_norm == nullptr) return;
  warps(queue_, &measure, values(1), room_.down, width_, choice, step_.routing.layer(index_),
        Measures{capture.output_norm + first, capture.output_max + first, capture.output_channel + first,
                 choice.stride});
}

/// What the slots add to the sum, whose norms measure_slot() has left.
void Layer::measure_sum(const RoutedRows& rows, const float* sum) {
  float* contribution = step_.input.capture.contribution;
  if (contribution == nullptr) return;
  warps(queue_, &measure, values(1), sum, width_, Choice{}, nullptr,
        Measures{room_.sum_norm, nullptr, nullptr, 1});
  threads(queue_, &share, values(rows.slots), rows.factor, rows.top_k, rows.slots, room_.sum_norm,
          contribution + moe_row_ * static_cast<std::size_t>(rows.slots));
}

void Layer::measure_shared() {
  const DeviceCapture& capture = step_.input.capture;
  if (capture.shared_norm == nullptr || !spec_.is_moe()) return;
  warps(queue_, &measure, values(1), room_.down, width_, Choice{}, nullptr,
        Measures{capture.shared_norm + moe_row_, capture.shared_max + moe_row_,
                 capture.shared_channel + moe_row_, 1});
}

/// The sum over the slots of a token: weight * f_e(x).
void Layer::routed(const float* x, float* sum) {
  queue_.enter("experts", index_);
  const RouterSpec& spec = spec_.router;
  const RouterRule* rule = step_.routing.layer(index_);
  const RoutedRows rows{.logits = room_.router_logits,
                        .scores = room_.router_score,
                        .scratch = room_.slots,
                        .expert = room_.expert,
                        .weight = room_.weight,
                        .factor = room_.factor,
                        .experts = spec.experts,
                        .top_k = step_.table.layers[static_cast<std::size_t>(index_)].top_k,
                        .slots = step_.table.max_top_k};
  const float* input = x;
  if (spec.input_norm) {
    norm(weights_.router_norm, {}, x, room_.down, width_);
    see(named::kRouterNorm, input = room_.down, width_);
  }
  product(weights_.router, input, room_.router_logits);
  see(named::kRouterLogits, room_.router_logits, spec.experts);
  threads(queue_, &plain::route, values(1), rule, rows);
  threads(queue_, &note_routing, values(1), rule, rows, moe_row_, step_.input.capture);
  see(named::kRouterScore, room_.router_score, spec.experts);
  see(named::kExpertWeight, room_.weight, rows.top_k);
  queue_.clear(sum, values(width_) * sizeof(float));
  SeenSlots seen;
  for (int slot = 0; slot < rows.slots; ++slot) {
    const Choice choice{room_.expert + slot, rows.slots};
    if (slot < rows.top_k) {
      const float* token = x;
      if (spec.weighs_input) {
        threads(queue_, &plain::scale, values(width_), Factors{room_.weight + slot, rows.top_k}, x, width_,
                room_.weighted);
        token = room_.weighted;
      }
      mlp(spec_.expert, weights_.experts, choice, token);
      take_slot(slot, rows.top_k, seen);
      add(room_.down, sum, {room_.factor + slot, rows.top_k});
    }
    measure_slot(slot, choice);
  }
  measure_sum(rows, sum);
  if (step_.observer != nullptr) see_slots(rows.top_k, seen);
  see(named::kExpertSum, sum, width_);
}

/// The sum of what is there: routed experts, the shared expert, a dense MLP.
void Layer::mlps(const float* x, float* sum) {
  if (spec_.is_moe())
    routed(x, sum);
  else
    queue_.clear(sum, values(width_) * sizeof(float));
  queue_.enter("mlp", index_);
  if (spec_.shared.width > 0) {
    mlp(spec_.shared, weights_.shared, {}, x);
    see({named::kSharedGate, named::kSharedUp, named::kSharedInner, named::kSharedDown}, spec_.shared);
    measure_shared();
    Factors weight;
    if (spec_.shared_gate) {
      product(weights_.shared_gate, x, room_.shared_weight);
      threads(queue_, &sigmoid, values(1), room_.shared_weight);
      see(named::kSharedWeight, room_.shared_weight, 1);
      weight = {room_.shared_weight, 1};
    }
    add(room_.down, sum, weight);
  }
  if (spec_.dense.width > 0) {
    mlp(spec_.dense, weights_.mlp, {}, x);
    see({named::kDenseGate, named::kDenseUp, named::kDenseInner, named::kDenseDown}, spec_.dense);
    add(room_.down, sum);
  }
}

// ---------------------------------------------------------------------------------- a layer and the model

/// hidden += mixer(norm(hidden)); hidden += mlp(norm(hidden)), with norms before, after or both.
void Layer::run() {
  const StoredLayer& w = weights_;
  const DeviceCapture& capture = step_.input.capture;
  float* const hidden = room_.hidden;
  const float* x = hidden;
  if (spec_.norm_before) {
    norm(w.input_layernorm, w.input_layernorm_bias, hidden, room_.x, width_);
    see(named::kAttnNorm, x = room_.x, width_);
  }
  if (spec_.mixer == MixerKind::linear_attention) {
    linear_attention(x, room_.y);
  } else if (spec_.attention.has_latent()) {
    latent_attention(x, room_.y);
  } else {
    attention(x, room_.y);
  }
  see(named::kAttnOut, room_.y, width_);
  if (spec_.norm_after) {
    norm(w.attention_post_norm, w.attention_post_norm_bias, room_.y, room_.y, width_);
    see(named::kAttnPostNorm, room_.y, width_);
  }
  add(room_.y, hidden);
  see(named::kAttnHidden, hidden, width_);
  if (spec_.norm_before) {
    norm(w.post_attention_layernorm, w.post_attention_layernorm_bias, hidden, room_.x, width_);
    see(named::kFfnNorm, room_.x, width_);
  }
  mlps(x, room_.y);
  see(named::kFfnOut, room_.y, width_);
  if (spec_.norm_after) {
    norm(w.mlp_post_norm, w.mlp_post_norm_bias, room_.y, room_.y, width_);
    see(named::kFfnPostNorm, room_.y, width_);
  }
  add(room_.y, hidden);
  see(named::kHidden, hidden, width_);
  if (capture.hidden_max != nullptr)
    warps(queue_, &measure, values(1), hidden, width_, Choice{}, nullptr,
          Measures{nullptr, capture.hidden_max + values(index_), capture.hidden_channel + values(index_), 1});
}

}  // namespace

void Step::see(const char* name, int layer, const float* values, int rows, int columns) const {
  if (observer == nullptr) return;
  std::vector<float> seen(size(rows, columns));
  queue.copy(seen.data(), values, seen.size() * sizeof(float), cudaMemcpyDeviceToHost);
  queue.wait();
  if (queue.ok()) observer->observe(name, layer, seen, columns);
}

void run_layers(const Step& step) {
  const int tokens = step.input.tokens;
  const int width = step.config.hidden_size;
  float* const hidden = step.room.hidden;
  const auto check = [&](int layers) {
    threads(step.queue, &check_finite, size(tokens, width), hidden, step.room.not_finite + layers);
  };
  step.queue.enter("embed");
  threads(step.queue, &embed, size(tokens, width), step.weights.embed_tokens, step.input.id, hidden);
  step.see(named::kEmbedding, -1, hidden, tokens, width);
  check(0);
  int moe_layer = 0;
  for (int n = 0; n < step.config.num_layers(); ++n) {
    Layer(step, n, moe_layer).run();
    moe_layer += step.config.is_moe(n) ? 1 : 0;
    check(1 + n);
  }
}

void norm_outputs(const Step& step) {
  const int rows = step.input.output_rows;
  const int width = step.config.hidden_size;
  float* const x = step.room.x;
  step.queue.enter("head");
  threads(step.queue, &gather, size(rows, width), step.room.hidden, step.input.output_row, width, x);
  warps(step.queue, &norm, size(rows, 1), step.config.norm, step.weights.norm, step.weights.norm_bias, x, x);
  if (rows > 0) step.see(named::kNorm, -1, x, rows, width);
}

void head(const Step& step, int first, int rows) {
  const float* x = step.room.x + std::ptrdiff_t{first} * step.config.hidden_size;
  const Matrices& w = step.weights.lm_head;
  warps(step.queue, &product, size(rows, w.rows), w, Choice{}, x, step.room.logits);
}

}  // namespace expertscope::cuda::plain
