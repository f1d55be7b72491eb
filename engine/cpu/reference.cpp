// SPDX-License-Identifier: GPL-3.0-or-later
//
// The forward pass, to be read from top to bottom: attention, the MLPs, a layer, the model; the arithmetic
// under it is in reference_math.h. Nothing here is fast. It is what a LayerSpec means, what the fast paths
// are held to, and what runs a model that they cannot. Every intermediate is shown to the observer under its
// name in engine/backend/intermediates.h.
#include "engine/cpu/reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "engine/backend/activation.h"
#include "engine/backend/backend_checks.h"
#include "engine/backend/intermediates.h"
#include "engine/cpu/reference_attention.h"
#include "engine/cpu/reference_probes.h"
#include "engine/cpu/router.h"

namespace expertscope::cpu {
namespace {

namespace named = intermediate;

/// One layer of one step.
class Layer {
 public:
  Layer(const ReferenceStep& step, int index, int moe_layer)
      : step_(step),
        spec_(step.model.config().layer(index)),
        weights_(step.model.weights().layers[index]),
        index_(index),
        probes_(step.capture, index, moe_layer) {}

  void run(Rows& hidden);

 private:
  struct Mlp {
    Rows gate, up, inner, down;
  };
  using MlpNames = const char* [4];
  Rows linear_attention(const Rows& x);
  Rows take_gates(Rows& q) const;
  Rows attention(const Rows& x);
  void rotate(std::span<float> row, std::int64_t position) const;
  float attend_one(std::size_t head, std::int64_t position, std::span<const float> q,
                   const LayerCache& cached, std::span<float> out) const;
  Rows latent_attention(const Rows& x);
  void turn_latent(Rows& q, Rows& kept, const SequenceChunk& chunk, std::size_t row) const;
  Rows keys_of(std::size_t head, const LayerCache& cached, const Rows& expanded) const;
  Rows mlps(const Rows& x, const Rows& residual);
  Rows routed(const Rows& x, const Rows& router_input);
  static Mlp mlp(const MlpSpec& spec, const MlpWeights& weights, const Rows& x);
  void see(const MlpNames& names, const Mlp& mlp, std::size_t tokens) const;
  void see(const char* name, const Rows& rows) const { see(name, rows, rows.count); }
  void see(const char* name, const Rows& rows, std::size_t tokens) const {
    if (step_.observer == nullptr) return;
    step_.observer->observe(name, index_, rows.values, static_cast<int>(rows.values.size() / tokens));
  }

  const ReferenceStep& step_;
  const LayerSpec& spec_;
  const LayerWeights& weights_;
  int index_;
  LayerProbes probes_;
};

// ----------------------------------------------------------------------------------------------- attention

/// Turns every head of a row to its position.
void Layer::rotate(std::span<float> row, std::int64_t position) const {
  const RopeTable& rope = step_.rope.of_layer(index_);
  const auto head_dim = static_cast<std::size_t>(spec_.attention.head_dim);
  for (std::size_t first = 0; first < row.size(); first += head_dim)
    turn(row.subspan(first, head_dim), {rope.cosine(position), static_cast<std::size_t>(rope.width() / 2)},
         rope.sine(position), spec_.attention.rotary.interleaved);
}

float Layer::attend_one(std::size_t head, std::int64_t position, std::span<const float> q,
                        const LayerCache& cached, std::span<float> out) const {
  const AttentionSpec& spec = spec_.attention;
  const auto stride = static_cast<std::size_t>(spec.key_width());
  const std::size_t first = head / static_cast<std::size_t>(spec.group()) * q.size();
  return attend(spec, spec.sinks ? weights_.sinks[head] : 0.0f, static_cast<std::size_t>(position), q,
                {cached.keys.data() + first, stride}, {cached.values.data() + first, stride}, out);
}

/// A DeltaNet, chunk by chunk.
Rows Layer::linear_attention(const Rows& x) {
  DeltaRows all{Rows(0, 0), Rows(0, 0), Rows(0, 0), Rows(0, 0), Rows(0, x.columns)};
  for (const SequenceChunk& chunk : step_.batch.chunks) {
    Rows own(static_cast<std::size_t>(chunk.count), x.columns);
    const auto first = x.values.begin() + static_cast<std::ptrdiff_t>(all.out.values.size());
    std::copy_n(first, own.values.size(), own.values.begin());
    const DeltaRows rows =
        delta_net(spec_, weights_, own, chunk, step_.cache[chunk.sequence][index_].delta_net);
    for (const auto member :
         {&DeltaRows::conv, &DeltaRows::decay, &DeltaRows::beta, &DeltaRows::heads, &DeltaRows::out})
      append(rows.*member, all.*member);
  }
  see(named::kDeltaConv, all.conv);
  see(named::kDeltaDecay, all.decay);
  see(named::kDeltaBeta, all.beta);
  see(named::kDeltaHeads, all.heads);
  return std::move(all.out);
}

/// Takes the gates out of what q_proj gives: they stand behind each head's query.
Rows Layer::take_gates(Rows& q) const {
  const auto head_dim = static_cast<std::size_t>(spec_.attention.head_dim);
  Rows queries(q.count, q.columns / 2);
  Rows gates(q.count, q.columns / 2);
  for (std::size_t first = 0; first < queries.values.size(); first += head_dim)
    for (Rows* half : {&queries, &gates})
      std::copy_n(q.values.begin() + static_cast<std::ptrdiff_t>(2 * first + (half == &gates ? head_dim : 0)),
                  head_dim, half->values.begin() + static_cast<std::ptrdiff_t>(first));
  q = std::move(queries);
  return gates;
}

Rows Layer::attention(const Rows& x) {
  const AttentionSpec& spec = spec_.attention;
  Rows q = product(weights_.q_proj, weights_.q_bias, x);
  Rows gate(0, 0);
  if (spec.gate_in_q) gate = take_gates(q);
  if (spec.gate > 0 && !spec.gate_in_q) gate = product(weights_.attention_gate, {}, x);
  Rows k = product(weights_.k_proj, weights_.k_bias, x);
  Rows v = spec.keys_as_values ? k : product(weights_.v_proj, weights_.v_bias, x);
  see(named::kQ, q);
  see(named::kK, k);
  see(named::kV, v);
  if (spec.qk_norm != AttentionSpec::QkNorm::none) {
    see(named::kQNorm, q = norm(spec_.norm, weights_.q_norm, {}, q));
    see(named::kKNorm, k = norm(spec_.norm, weights_.k_norm, {}, k));
  }
  if (spec.v_norm) v = norm(spec_.norm, Vector(static_cast<std::size_t>(spec.head_dim), 1.0f), {}, v);
  Rows heads(x.count, q.columns);
  const auto head_dim = static_cast<std::size_t>(spec.head_dim);
  std::size_t row = 0;
  for (const SequenceChunk& chunk : step_.batch.chunks) {
    LayerCache& cached = step_.cache[chunk.sequence][index_];
    const std::size_t end = static_cast<std::size_t>(chunk.start + chunk.count) * k.columns;
    cached.keys.resize(std::max(cached.keys.size(), end));
    cached.values.resize(std::max(cached.values.size(), end));
    for (std::int64_t position = chunk.start; position < chunk.start + chunk.count; ++position, ++row) {
      rotate(q[row], position);
      rotate(k[row], position);
      const auto place = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(position) * k.columns);
      std::copy(k[row].begin(), k[row].end(), cached.keys.begin() + place);
      std::copy(v[row].begin(), v[row].end(), cached.values.begin() + place);
      float first = 0;
      for (std::size_t h = 0; h < static_cast<std::size_t>(spec.heads); ++h)
        first += attend_one(h, position, q[row].subspan(h * head_dim, head_dim), cached,
                            heads[row].subspan(h * head_dim, head_dim));
      probes_.first_token(row, first / static_cast<float>(spec.heads));
    }
  }
  see(named::kQRotary, q);
  see(named::kKRotary, k);
  see(named::kAttnHeads, heads);
  if (spec.gate > 0) {  // one gate an element, or one a head
    see(named::kAttnGate, gate = sigmoid(std::move(gate)));
    for (std::size_t i = 0; i < heads.values.size(); ++i)
      heads.values[i] *= gate.values[i / (heads.columns / gate.columns)];
  }
  return product(weights_.o_proj, weights_.o_bias, heads);
}

/// Turns the tokens of a chunk to their positions: the end of each head's query, and the key all heads share.
void Layer::turn_latent(Rows& q, Rows& kept, const SequenceChunk& chunk, std::size_t row) const {
  const AttentionSpec& spec = spec_.attention;
  const RopeTable& rope = step_.rope.of_layer(index_);
  const auto turning = static_cast<std::size_t>(spec.rotary.width);
  const auto query = static_cast<std::size_t>(spec.query_dim());
  for (std::int64_t position = chunk.start; position < chunk.start + chunk.count; ++position, ++row) {
    const std::span<const float> cosine(rope.cosine(position), turning / 2);
    turn(kept[row].first(turning), cosine, rope.sine(position), spec.rotary.interleaved);
    for (std::size_t end = query; end <= q.columns; end += query)
      turn(q[row].subspan(end - turning, turning), cosine, rope.sine(position), spec.rotary.interleaved);
  }
}

/// A head's own key of every position: LatentSpec, before it says how they need not be computed.
Rows Layer::keys_of(std::size_t head, const LayerCache& cached, const Rows& expanded) const {
  const AttentionSpec& spec = spec_.attention;
  const auto turning = static_cast<std::ptrdiff_t>(spec.rotary.width);
  const auto nope = static_cast<std::ptrdiff_t>(spec.latent.nope_dim);
  const auto width = static_cast<std::ptrdiff_t>(spec.head_dim);
  const auto of_head = static_cast<std::ptrdiff_t>(head) * (nope + spec.latent.value_dim);
  Rows keys(expanded.count, static_cast<std::size_t>(nope + turning));
  for (std::size_t at = 0; at < keys.count; ++at) {
    std::copy_n(expanded[at].begin() + of_head, nope, keys[at].begin());
    std::copy_n(cached.keys.begin() + static_cast<std::ptrdiff_t>(at) * width, turning,
                keys[at].begin() + nope);
  }
  return keys;
}

Rows Layer::latent_attention(const Rows& x) {
  const AttentionSpec& spec = spec_.attention;
  auto [q_latent, q] = latent_queries(spec_, weights_, x);
  if (q_latent.count > 0) see(named::kQLatent, q_latent);
  see(named::kQ, q);
  Rows kept = latent_cache_rows(spec_, weights_, x);
  see(named::kLatent, kept);
  const auto query = static_cast<std::size_t>(spec.query_dim());
  const auto value = static_cast<std::size_t>(spec.latent.value_dim);
  const auto nope = static_cast<std::size_t>(spec.latent.nope_dim);
  Rows heads(x.count, static_cast<std::size_t>(spec.output_width()));
  Rows firsts(x.count, static_cast<std::size_t>(spec.heads));  // weights of position 0
  std::size_t row = 0;
  for (const SequenceChunk& chunk : step_.batch.chunks) {
    turn_latent(q, kept, chunk, row);
    LayerCache& cached = step_.cache[chunk.sequence][index_];
    const auto start = static_cast<std::size_t>(chunk.start) * kept.columns;
    const std::size_t end = start + static_cast<std::size_t>(chunk.count) * kept.columns;
    cached.keys.resize(std::max(cached.keys.size(), end));
    std::copy_n(kept[row].begin(), end - start, cached.keys.begin() + static_cast<std::ptrdiff_t>(start));
    const Rows expanded = expand_latents(spec_, weights_, std::span(cached.keys).first(end));
    for (std::size_t h = 0; h < firsts.columns; ++h) {
      const Rows keys = keys_of(h, cached, expanded);
      const HeadRows values{expanded[0].data() + h * (nope + value) + nope, expanded.columns};
      for (std::size_t t = 0; t < static_cast<std::size_t>(chunk.count); ++t)
        firsts[row + t][h] = attend(spec, 0.0f, static_cast<std::size_t>(chunk.start) + t,
                                    q[row + t].subspan(h * query, query), {keys.values.data(), query}, values,
                                    heads[row + t].subspan(h * value, value));
    }
    row += static_cast<std::size_t>(chunk.count);
  }
  for (row = 0; row < x.count; ++row)
    probes_.first_token(
        row, std::accumulate(firsts[row].begin(), firsts[row].end(), 0.0f) / static_cast<float>(spec.heads));
  see(named::kKRotary, kept);
  see(named::kAttnHeads, heads);
  return product(weights_.o_proj, weights_.o_bias, heads);
}

// -------------------------------------------------------------------------------------------------- the MLPs

/// down(inner), where inner is activation(gate x) * up x, or activation(up x): engine/backend/activation.h.
Layer::Mlp Layer::mlp(const MlpSpec& spec, const MlpWeights& weights, const Rows& x) {
  Rows up = product(weights.up_proj, weights.up_bias, x);
  Rows gate = spec.gated ? product(weights.gate_proj, weights.gate_bias, x) : Rows(0, 0);
  Rows inner = up;
  for (std::size_t i = 0; i < up.values.size(); ++i)
    inner.values[i] = rules::inner_of(spec, spec.gated ? gate.values[i] : 0.0f, up.values[i]);
  Rows down = product(weights.down_proj, weights.down_bias, inner);
  return {std::move(gate), std::move(up), std::move(inner), std::move(down)};
}

void Layer::see(const MlpNames& names, const Mlp& mlp, std::size_t tokens) const {
  const Rows* const all[] = {&mlp.gate, &mlp.up, &mlp.inner, &mlp.down};
  for (std::size_t i = 0; i < 4; ++i)
    if (all[i]->count > 0) see(names[i], *all[i], tokens);
}

/// The sum over the slots of a token: weight * f_e(x).
Rows Layer::routed(const Rows& x, const Rows& router_input) {
  const RouterSpec& spec = spec_.router;
  const LayerRouting& routing = step_.table.layers[index_];
  const auto slots = static_cast<std::size_t>(routing.top_k);
  const auto width = static_cast<std::size_t>(spec_.expert.width);
  const Rows input =
      spec.input_norm ? norm(spec_.norm, weights_.router_norm, {}, router_input) : router_input;
  if (spec.input_norm) see(named::kRouterNorm, input);
  const Rows logits = product(weights_.router, weights_.router_bias, input);
  see(named::kRouterLogits, logits);
  Rows scores(x.count, logits.columns);
  Rows weights(x.count, slots);
  Rows sum(x.count, x.columns);
  const std::size_t rows = x.count * slots;  // a row a slot
  Mlp all{Rows(spec_.expert.gated ? rows : 0, width), Rows(rows, width), Rows(rows, width),
          Rows(rows, x.columns)};
  const RouterRule rule = rule_of(routing, weights_.correction_bias, weights_.expert_scale);
  std::vector<RoutedSlot> chosen(slots);
  std::vector<float> terms(slots);  // norms of what the slots add
  for (std::size_t t = 0; t < x.count; ++t) {
    route(logits[t], rule, scores[t], chosen);
    probes_.routing(t, spec.score, logits[t], chosen);
    std::fill(terms.begin(), terms.end(), 0.0f);
    for (std::size_t s = 0; s < slots; ++s) {
      if (chosen[s].expert < 0) continue;
      const auto expert = static_cast<std::size_t>(chosen[s].expert);
      weights[t][s] = chosen[s].weight;
      Rows token(1, x.columns);
      add(spec.weighs_input ? weights[t][s] : 1.0f, x[t], token[0]);
      const Mlp one = mlp(spec_.expert, weights_.experts[expert], token);
      for (const auto member : {&Mlp::gate, &Mlp::up, &Mlp::inner, &Mlp::down})
        if ((all.*member).count > 0) add(1.0f, (one.*member).values, (all.*member)[t * slots + s]);
      const float scale = routing.output_scale[expert];
      probes_.output(t, s, one.down[0], scale);
      const float factor = (spec.weighs_input ? 1.0f : weights[t][s]) * scale;
      if (scale != 0) add(factor, one.down[0], sum[t]);
      if (scale != 0) terms[s] = std::abs(factor) * std::sqrt(dot(one.down[0], one.down[0]));
    }
    const float whole = std::sqrt(dot(sum[t], sum[t]));
    for (std::size_t s = 0; s < slots; ++s)
      probes_.contribution(t, s, terms[s], whole);
  }
  see(named::kRouterScore, scores);
  see(named::kExpertWeight, weights);
  see({named::kExpertGate, named::kExpertUp, named::kExpertInner, named::kExpertDown}, all, x.count);
  see(named::kExpertSum, sum);
  return sum;
}

/// The sum of what is there: routed experts, the shared expert, a dense MLP.
Rows Layer::mlps(const Rows& x, const Rows& residual) {
  Rows sum(x.count, x.columns);
  if (spec_.is_moe()) {
    const Rows& router_input = spec_.router.reads_residual ? residual : x;
    const auto own = [&](const Vector& weight, const Rows& rows) {
      return norm(spec_.norm, weight, {}, rows);
    };
    sum = spec_.branch_norms ? own(weights_.expert_output_norm,
                                   routed(own(weights_.expert_input_norm, residual), router_input))
                             : routed(x, router_input);
  }
  if (spec_.shared.width > 0) {
    const Mlp shared = mlp(spec_.shared, weights_.shared, x);
    see({named::kSharedGate, named::kSharedUp, named::kSharedInner, named::kSharedDown}, shared, x.count);
    probes_.shared(shared.down);
    if (!spec_.shared_gate) add(1.0f, shared.down.values, sum.values);
    if (spec_.shared_gate) {
      const Rows weight = sigmoid(product(weights_.shared_gate, {}, x));
      see(named::kSharedWeight, weight);
      for (std::size_t t = 0; t < x.count; ++t)
        add(weight.values[t], shared.down[t], sum[t]);
    }
  }
  if (spec_.dense.width > 0) {
    Mlp dense = mlp(spec_.dense, weights_.mlp, x);
    see({named::kDenseGate, named::kDenseUp, named::kDenseInner, named::kDenseDown}, dense, x.count);
    if (spec_.branch_norms) dense.down = norm(spec_.norm, weights_.dense_output_norm, {}, dense.down);
    add(1.0f, dense.down.values, sum.values);
  }
  return sum;
}

// ---------------------------------------------------------------------------------- a layer and the model

/// hidden += mixer(norm(hidden)); hidden += mlp(norm(hidden)), with norms before, after or both.
void Layer::run(Rows& hidden) {
  const LayerWeights& w = weights_;
  Rows x = hidden;
  if (spec_.norm_before)
    see(named::kAttnNorm, x = norm(spec_.norm, w.input_layernorm, w.input_layernorm_bias, x));
  Rows y = spec_.mixer == MixerKind::linear_attention ? linear_attention(x)
           : spec_.attention.has_latent()             ? latent_attention(x)
                                                      : attention(x);
  see(named::kAttnOut, y);
  if (spec_.norm_after)
    see(named::kAttnPostNorm, y = norm(spec_.norm, w.attention_post_norm, w.attention_post_norm_bias, y));
  add(1.0f, y.values, hidden.values);
  see(named::kAttnHidden, x = hidden);
  if (spec_.norm_before)
    see(named::kFfnNorm,
        x = norm(spec_.norm, w.post_attention_layernorm, w.post_attention_layernorm_bias, x));
  see(named::kFfnOut, y = mlps(x, hidden));
  if (spec_.norm_after)
    see(named::kFfnPostNorm, y = norm(spec_.norm, w.mlp_post_norm, w.mlp_post_norm_bias, y));
  add(1.0f, y.values, hidden.values);
  for (float& value : hidden.values)
    value *= spec_.output_scale ? w.output_scale[0] : 1.0f;
  see(named::kHidden, hidden);
  probes_.hidden(hidden);
}

}  // namespace

Result<Rows> reference_forward(const ReferenceStep& step, std::span<const std::int32_t> wanted) {
  const ModelConfig& config = step.model.config();
  const Weights& weights = step.model.weights();
  const auto see = [&](const char* name, const Rows& rows) {
    if (step.observer != nullptr)
      step.observer->observe(name, -1, rows.values, static_cast<int>(rows.columns));
  };
  Rows hidden(step.batch.tokens.size(), static_cast<std::size_t>(config.hidden_size));
  for (std::size_t t = 0; t < hidden.count; ++t)
    weights.embed_tokens.dequantise(step.batch.tokens[t], 0, weights.embed_tokens.cols, hidden[t].data());
  for (float& value : hidden.values)
    value *= config.embedding_scale;
  see(named::kEmbedding, hidden);
  if (!all_finite(hidden))
    return not_finite(step.model, "the embedding: NaN or infinity in the hidden state", -1);
  int moe_layer = 0;
  for (int n = 0; n < config.num_layers(); ++n) {
    Layer(step, n, moe_layer).run(hidden);
    moe_layer += config.is_moe(n) ? 1 : 0;
    if (!all_finite(hidden))
      return not_finite(step.model, fmt::format("layer {}: NaN or infinity in the hidden state", n), n);
  }
  Rows last(wanted.size(), hidden.columns);
  for (std::size_t r = 0; r < wanted.size(); ++r)
    add(1.0f, hidden[wanted[r]], last[r]);
  if (wanted.empty()) return last;
  see(named::kNorm, last = norm(config.norm, weights.norm, weights.norm_bias, last));
  Rows logits = product(weights.lm_head, {}, last);
  for (float& logit : logits.values)
    if (config.logit_cap > 0) logit = config.logit_cap * std::tanh(logit / config.logit_cap);
  see(named::kLogits, logits);
  if (!all_finite(logits)) return not_finite(step.model, "the logits are not finite", -1);
  return logits;
}

}  // namespace expertscope::cpu
