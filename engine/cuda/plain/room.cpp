// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "engine/cuda/plain/forward.h"

namespace expertscope::cuda::plain {
namespace {

/// What a DeltaNet reads and writes.
void take_delta(const ModelConfig& config, const BackendOptions& options, Arena& arena, Room& room) {
  const WidestLayer most = config.widest();
  const auto take = [&](std::int64_t rows, std::int64_t columns) {
    return arena.take<float>(CheckedSize(rows) * CheckedSize(columns));
  };
  const std::int64_t batch = options.max_batch;
  room.delta_in = take(batch, std::int64_t{most.delta_channels} + most.delta_values);
  room.delta_convolved = take(batch, most.delta_channels);
  room.delta_gates = take(batch, std::int64_t{2} * most.delta_heads);
  room.delta_decay = take(batch, most.delta_heads);
  room.delta_beta = take(batch, most.delta_heads);
  room.sequences = options.max_sequences;
  const std::int64_t kept =
      std::int64_t{options.max_sequences} * config.delta_nets_before(config.num_layers());
  room.delta_inputs = take(kept, most.delta_inputs);
  room.delta_states = take(kept, most.delta_states);
}

}  // namespace

Room Room::place(const ModelConfig& config, const BackendOptions& options, Arena& arena) {
  constexpr std::int64_t kMostFloats = std::int64_t{16} << 20;  // of scores, and of logits
  const WidestLayer most = config.widest();
  const std::int64_t batch = options.max_batch;
  const std::int64_t of_a_token = std::int64_t{most.heads} * options.max_context;
  const auto at_a_time = [&](std::int64_t floats) {
    return static_cast<int>(
        std::clamp<std::int64_t>(kMostFloats / std::max<std::int64_t>(floats, 1), 1, batch));
  };
  const auto take = [&](std::int64_t columns) {
    return arena.take<float>(CheckedSize(batch) * CheckedSize(columns));
  };
  Room room;
  room.attended = at_a_time(of_a_token);
  room.head_rows = at_a_time(config.vocab_size);
  for (float** rows : {&room.hidden, &room.x, &room.y, &room.down, &room.weighted})
    *rows = take(config.hidden_size);
  for (float** rows : {&room.q, &room.attention_gate})
    *rows = take(most.query_width);
  room.heads = take(std::max(most.query_width, most.delta_values));
  const bool latents = most.latent_means > 0;
  room.q_and_gate = take(latents || most.q_rows > most.query_width ? most.q_rows : 0);
  room.latent_q = take(most.latent_q_rank);
  room.latent = take(latents ? most.head_dim : 0);
  room.latent_heads = take(latents ? most.output_width : 0);
  const bool branches = std::any_of(config.layers.begin(), config.layers.end(),
                                    [](const LayerSpec& layer) { return layer.branch_norms; });
  room.branch = take(branches ? config.hidden_size : 0);
  take_delta(config, options, arena, room);
  for (float** rows : {&room.k, &room.v})
    *rows = take(most.key_width);
  for (float** rows : {&room.gate, &room.up, &room.inner})
    *rows = take(std::max(most.expert_width, most.dense_width));
  for (float** rows : {&room.router_logits, &room.router_score, &room.weight, &room.factor})
    *rows = take(most.experts);
  room.slots = arena.take<RoutedSlot>(CheckedSize(batch) * CheckedSize(most.experts));
  room.expert = arena.take<std::int32_t>(CheckedSize(batch) * CheckedSize(most.experts));
  room.shared_weight = take(1);
  room.sum_norm = take(1);
  room.first_token = take(most.heads);
  room.scores = arena.take<float>(CheckedSize(room.attended) * CheckedSize(of_a_token));
  room.logits = arena.take<float>(CheckedSize(room.head_rows) * CheckedSize(config.vocab_size));
  room.not_finite = arena.take<unsigned>(CheckedSize(1 + config.num_layers()));
  return room;
}

}  // namespace expertscope::cuda::plain
