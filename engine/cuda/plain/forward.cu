// SPDX-License-Identifier: GPL-3.0-or-later
//
// engine/cpu/reference.cpp on a GPU, in the same order and under the same names: read that first. Nothing is
// fused; the mixers are in mixers.cu, the arithmetic in kernels.cuh and the headers beside it.
#include "engine/cuda/plain/forward.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/backend/intermediates.h"
#include "engine/cuda/plain/layer.h"

namespace expertscope::cuda::plain {
namespace named = intermediate;

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
void Layer::routed(const float* x, const float* router_input, float* sum) {
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
  const float* input = router_input;
  if (spec.input_norm) {
    norm(weights_.router_norm, {}, router_input, room_.down, width_);
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
  const float* router_input = spec_.router.reads_residual ? room_.hidden : x;
  if (!spec_.is_moe()) {
    queue_.clear(sum, values(width_) * sizeof(float));
  } else if (spec_.branch_norms) {
    norm(weights_.expert_input_norm, {}, room_.hidden, room_.branch, width_);
    routed(room_.branch, router_input, sum);
    norm(weights_.expert_output_norm, {}, sum, sum, width_);
  } else {
    routed(x, router_input, sum);
  }
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
    if (spec_.branch_norms) norm(weights_.dense_output_norm, {}, room_.down, room_.down, width_);
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
  if (spec_.output_scale) threads(queue_, &multiply_all, values(width_), 1.0f, w.output_scale.data, hidden);
  see(named::kHidden, hidden, width_);
  if (capture.hidden_max != nullptr)
    warps(queue_, &measure, values(1), hidden, width_, Choice{}, nullptr,
          Measures{nullptr, capture.hidden_max + values(index_), capture.hidden_channel + values(index_), 1});
}

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
  if (step.config.embedding_scale != 1)
    threads(step.queue, &multiply_all, size(tokens, width), step.config.embedding_scale,
            static_cast<const float*>(nullptr), hidden);
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
  const float cap = step.config.logit_cap;
  if (cap > 0) threads(step.queue, &cap_all, size(rows, w.rows), cap, step.room.logits);
}

}  // namespace expertscope::cuda::plain
