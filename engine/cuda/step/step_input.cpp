// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/step/step_input.h"

#include <algorithm>
#include <new>

namespace expertscope::cuda {
namespace {

constexpr std::size_t kArrays = 5;  // id, position, sequence, output row, target
constexpr int kSmallestTile = 8;    // query tokens

std::size_t tiles_of(const BackendOptions& options) {
  return static_cast<std::size_t>(options.max_batch / kSmallestTile) +
         static_cast<std::size_t>(std::min(options.max_sequences, options.max_batch)) + 1;
}

std::size_t tiles_offset(int tokens) {
  const std::size_t arrays = kArrays * static_cast<std::size_t>(tokens) * sizeof(std::int32_t);
  return (sizeof(DeviceStep) + arrays + 15) / 16 * 16;
}

}  // namespace

std::size_t StepInput::bytes(const BackendOptions& options) {
  return tiles_offset(options.max_batch) + tiles_of(options) * sizeof(QueryTile);
}

Status StepInput::allocate(const BackendOptions& options, std::int32_t* layer_begun) {
  layer_begun_ = layer_begun;
  if (auto ok = device_.allocate(bytes(options), "the input of a step"); !ok) return ok;
  return host_.allocate(bytes(options), "the input of a step");
}

void StepInput::fill_tokens(const Batch& batch, int tile) {
  auto* tiles = reinterpret_cast<QueryTile*>(host_.data() + tiles_at_);
  query_tile_count_ = 0;
  int row = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    for (int t = 0; t < chunk.count; ++t) {
      host_ints(0)[row + t] = batch.tokens[static_cast<std::size_t>(row + t)];
      host_ints(1)[row + t] = chunk.start + t;
      host_ints(2)[row + t] = chunk.sequence;
    }
    for (int first = 0; first < chunk.count; first += tile)
      tiles[query_tile_count_++] = {row + first, chunk.sequence, chunk.start + first,
                                    std::min(tile, chunk.count - first)};
    row += chunk.count;
  }
  // Late tokens of a chunk see the most keys: they come first, so that no block starts the longest piece
  // last.
  std::stable_sort(tiles, tiles + query_tile_count_,
                   [](const QueryTile& a, const QueryTile& b) { return a.position > b.position; });
}

int StepInput::fill_output_rows(const Batch& batch) {
  int count = 0;
  const auto add = [&](int row) {
    host_ints(4)[count] =
        batch.logits == LogitsWanted::log_probs ? batch.targets[static_cast<std::size_t>(row)] : -1;
    host_ints(3)[count++] = row;
  };
  const auto tokens = static_cast<int>(batch.tokens.size());
  if (batch.logits == LogitsWanted::none) return 0;
  if (batch.logits == LogitsWanted::all || batch.logits == LogitsWanted::log_probs) {
    for (int row = 0; row < tokens; ++row) {
      const bool wanted =
          batch.logits == LogitsWanted::all || batch.targets[static_cast<std::size_t>(row)] >= 0;
      if (wanted) add(row);
    }
    return count;
  }
  int end = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    end += chunk.count;
    add(end - 1);
  }
  return count;
}

void StepInput::upload(const Batch& batch, int slots, const DeviceCapture& capture, int tile, Queue& queue) {
  tokens_ = static_cast<int>(batch.tokens.size());
  tiles_at_ = tiles_offset(tokens_);
  fill_tokens(batch, tile);
  DeviceStep step;
  step.tokens = tokens_;
  step.slots = slots;
  step.output_rows = fill_output_rows(batch);
  step.candidates = batch.candidates;
  step.id = ints(0);
  step.position = ints(1);
  step.sequence = ints(2);
  step.output_row = ints(3);
  step.capture = capture;
  step.layer_begun = layer_begun_;
  new (host_.data()) DeviceStep(step);
  queue.enter("copying the batch");
  const std::size_t tiles = static_cast<std::size_t>(query_tile_count_) * sizeof(QueryTile);
  queue.copy(device_.data(), host_.data(), tiles_at_ + tiles, cudaMemcpyHostToDevice);
}

}  // namespace expertscope::cuda
