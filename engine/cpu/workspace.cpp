// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/workspace.h"

#include <algorithm>

#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Element counts of the arrays; both bytes() and allocate() read them.
struct Sizes {
  CheckedSize hidden, sums, ones, heads, queries, gates, attended, keys, latents, channels, values,
      value_heads, packed, experts, slots, expert_rows, expert_input, expert_inner, gate, expert_output,
      head_logits;
};

/// Rows the experts of a layer run at a time. A policy may ask for more slots than the model's top_k: then
/// the tokens of a batch go through the experts in several rounds.
std::int64_t expert_rows(const ModelConfig& config, const BackendOptions& options) {
  const std::int64_t usual = std::int64_t{options.max_batch} * std::max(1, config.top_k());
  const int experts = config.num_experts();
  return experts == 0 ? 0 : std::max<std::int64_t>(usual, experts);
}

CheckedSize packed_size(CheckedSize rows, std::int64_t cols) {
  return rows * CheckedSize(round_up(cols, kPackCols)) * CheckedSize(sizeof(float));
}

Sizes sizes(const ModelConfig& config, const BackendOptions& options) {
  const std::int64_t batch = options.max_batch;
  const CheckedSize tokens(batch);
  const CheckedSize packed_tokens(round_up(batch, kPackRows));
  const WidestLayer most = config.widest();
  const std::int64_t widest = std::max(
      {config.hidden_size, most.output_width, most.dense_width, most.delta_values, most.latent_q_rank});
  const CheckedSize packed = packed_size(packed_tokens, widest);
  const CheckedSize packed_heads =
      CheckedSize(most.latent_means > 0 ? most.heads : 0) * packed_size(packed_tokens, most.latent_head);
  const CheckedSize rows(expert_rows(config, options));
  const bool apart = std::any_of(config.layers.begin(), config.layers.end(), sums_apart);
  const CheckedSize run_padding =
      CheckedSize(std::min<std::int64_t>(most.experts, expert_rows(config, options))) *
      CheckedSize(kPackRows);
  const CheckedSize moe_inner = rows * CheckedSize(most.expert_width);
  const CheckedSize dense_inner = tokens * CheckedSize(most.dense_width);
  return {
      .hidden = tokens * CheckedSize(config.hidden_size),
      .sums = apart ? tokens * CheckedSize(config.hidden_size) : CheckedSize(0),
      .ones = CheckedSize(most.head_dim),
      .heads = tokens * CheckedSize(most.heads),
      .queries = tokens * CheckedSize(most.q_rows),
      .gates = tokens * CheckedSize(most.gate_width),
      .attended = tokens * CheckedSize(std::max(most.output_width, most.delta_values)),
      .keys = tokens * CheckedSize(most.key_width),
      .latents = tokens * (CheckedSize(most.latent_q_rank) + CheckedSize(most.latent_queries) +
                           CheckedSize(most.latent_means)),
      .channels = tokens * CheckedSize(most.delta_channels),
      .values = tokens * CheckedSize(most.delta_values),
      .value_heads = tokens * CheckedSize(most.delta_heads),
      .packed = packed_heads.value() > packed.value() ? packed_heads : packed,
      .experts = tokens * CheckedSize(most.experts),
      .slots = tokens * CheckedSize(most.experts),
      .expert_rows = rows,
      .expert_input = packed_size(rows + run_padding, config.hidden_size),
      .expert_inner = packed_size(rows + run_padding, most.expert_width),
      .gate = moe_inner.value() > dense_inner.value() ? moe_inner : dense_inner,
      .expert_output = rows * CheckedSize(config.hidden_size),
      .head_logits = CheckedSize(std::min<std::int64_t>(batch, kHeadRows)) * CheckedSize(config.vocab_size),
  };
}

}  // namespace

CheckedSize Workspace::bytes(const ModelConfig& config, const BackendOptions& options) {
  const Sizes s = sizes(config, options);
  const CheckedSize floats = CheckedSize(options.max_batch) + s.hidden * CheckedSize(3) + s.sums + s.ones +
                             s.heads + s.queries + s.gates + s.attended + s.keys * CheckedSize(2) +
                             s.latents + s.channels * CheckedSize(3) + s.values * CheckedSize(2) +
                             s.value_heads * CheckedSize(4) + s.experts * CheckedSize(2) +
                             s.gate * CheckedSize(2) + s.expert_output + s.expert_rows + s.head_logits;
  const CheckedSize per_slot(sizeof(RoutedSlot) + sizeof(std::int32_t));
  return floats * CheckedSize(sizeof(float)) + s.packed + s.expert_input + s.expert_inner +
         s.slots * per_slot;
}

bool Workspace::allocate(const ModelConfig& config, const BackendOptions& options) {
  const Sizes s = sizes(config, options);
  expert_rows = cpu::expert_rows(config, options);
  const auto experts = static_cast<std::size_t>(config.num_experts());
  const auto chunks = static_cast<std::size_t>(std::min(options.max_sequences, options.max_batch));
  head_tokens.reserve(static_cast<std::size_t>(options.max_batch));
  runs.reserve(experts);
  row_blocks.reserve(experts + static_cast<std::size_t>(expert_rows / kPackRows));
  attention_blocks.reserve(static_cast<std::size_t>(config.widest().heads) *
                           (chunks + static_cast<std::size_t>(options.max_batch / kAttentionTokens)));
  const WidestLayer most = config.widest();
  const CheckedSize tokens(options.max_batch);
  products.reserve(std::max({std::size_t{4}, 2 * experts, static_cast<std::size_t>(most.heads)}));
  if (!ones.allocate(s.ones.value())) return false;
  std::fill_n(ones.data(), s.ones.value(), 1.0f);
  return hidden.allocate(s.hidden.value()) && normed.allocate(s.hidden.value()) &&
         q.allocate(s.queries.value()) && k.allocate(s.keys.value()) && v.allocate(s.keys.value()) &&
         attended.allocate(s.attended.value()) && attention_gate.allocate(s.gates.value()) &&
         latent_q.allocate((tokens * CheckedSize(most.latent_q_rank)).value()) &&
         latent_queries.allocate((tokens * CheckedSize(most.latent_queries)).value()) &&
         latent_means.allocate((tokens * CheckedSize(most.latent_means)).value()) &&
         delta_grouped.allocate((s.channels + s.values).value()) &&
         delta_gates.allocate((s.value_heads * CheckedSize(2)).value()) &&
         delta_qkv.allocate(s.channels.value()) && delta_convolved.allocate(s.channels.value()) &&
         delta_z.allocate(s.values.value()) && delta_b.allocate(s.value_heads.value()) &&
         delta_a.allocate(s.value_heads.value()) && first_weights.allocate(s.heads.value()) &&
         projected.allocate(s.hidden.value()) && mlp_sum.allocate(s.sums.value()) &&
         shared_gate.allocate(static_cast<std::size_t>(options.max_batch)) &&
         packed.allocate(s.packed.value()) && router_logits.allocate(s.experts.value()) &&
         probabilities.allocate(s.experts.value()) && slots.allocate(s.slots.value()) &&
         row_of_slot.allocate(s.slots.value()) && token_of_row.allocate(s.expert_rows.value()) &&
         next_row.allocate(experts) && expert_input.allocate(s.expert_input.value()) &&
         expert_inner.allocate(s.expert_inner.value()) && gate.allocate(s.gate.value()) &&
         up.allocate(s.gate.value()) && expert_output.allocate(s.expert_output.value()) &&
         head_logits.allocate(s.head_logits.value());
}

}  // namespace expertscope::cpu
