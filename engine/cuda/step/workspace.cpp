// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/step/workspace.h"

#include <algorithm>
#include <vector>

namespace expertscope::cuda {
namespace {

constexpr std::int64_t kLogitsBytes = std::int64_t{160} << 20;  // of one slice of the head

int widest_inner(const ModelConfig& config) {
  const WidestLayer most = config.widest();
  return padded(std::max(most.expert_width, most.dense_width));
}

int rows_at_a_time(const ModelConfig& config, const BackendOptions& options) {
  const std::int64_t usual = std::int64_t{options.max_batch} * std::max(1, config.top_k());
  // In tiles of at least 16 rows no more than a grid has blocks; what is beyond takes another round.
  constexpr std::int64_t kMost = (65535 - kMaxExperts) * std::int64_t{16};
  return static_cast<int>(std::min(std::max<std::int64_t>(usual, config.num_experts()), kMost));
}

CandidateParts place_candidates(Arena& arena, CheckedSize parts) {
  CandidateParts placed;
  placed.largest = arena.take<float>(parts);
  placed.sum = arena.take<float>(parts);
  placed.count = arena.take<std::int32_t>(parts);
  placed.candidate = arena.take<DeviceCandidate>(parts * CheckedSize(kCandidateRoom));
  return placed;
}

}  // namespace

void Workspace::measure(const ModelConfig& config, const BackendOptions& options, int multiprocessors) {
  expert_rows = rows_at_a_time(config, options);
  const std::int64_t row = std::max<std::int64_t>(1, std::int64_t{config.vocab_size} * 4);
  head_rows = static_cast<int>(std::clamp<std::int64_t>(kLogitsBytes / row, kDecodeTokens,
                                                        std::max(options.max_batch, kDecodeTokens)));
  shares = (config.vocab_size + kCandidateShare - 1) / kCandidateShare;
  decode_slots = std::clamp(config.num_experts(), 1, kDecodeSlots);
  output_blocks = (config.hidden_size + kProductWarps - 1) / kProductWarps;  // a channel a warp
  multiprocessors_ = multiprocessors;
  kv_heads_ = config.widest().kv_heads;
  // attend_token takes pieces of 32 positions at least, but for the last.
  most_splits_ = std::clamp((options.max_context - 1) / 32 + 1, 1, kMaxSplits);
}

void Workspace::place(const ModelConfig& config, const BackendOptions& options, Arena& arena) {
  const std::int64_t batch = std::max(options.max_batch, kDecodeTokens);
  const std::int64_t layers = config.num_layers();
  const WidestLayer most = config.widest();
  const std::int64_t heads = most.heads;
  const std::int64_t experts = std::max(1, most.experts);
  const CheckedSize rows(batch);
  const CheckedSize width(config.hidden_size);
  const CheckedSize padded_width(padded(config.hidden_size));
  const CheckedSize row_of_qkv(std::int64_t{most.query_width} + 2 * most.key_width);
  const CheckedSize decoding = CheckedSize(layers) * CheckedSize(kDecodeTokens);
  const CheckedSize decode_all_slots = decoding * CheckedSize(decode_slots);
  const auto larger = [](CheckedSize a, CheckedSize b) { return a.value() > b.value() ? a : b; };

  hidden = arena.take<float>(rows * width);
  normed = arena.take<float>(rows * padded_width);
  exact = arena.take<float>(rows * padded_width * CheckedSize(2));  // or three bf16 numbers a float
  qkv = arena.take<float>(rows * row_of_qkv);
  attended = arena.take<float>(rows * CheckedSize(padded(most.query_width)));
  first_token = arena.take<float>(larger(rows, decoding) * CheckedSize(heads));
  std::int64_t pieces_count = 0;
  for (int tokens = 1; tokens <= kBatchTokens; ++tokens)
    pieces_count = std::max(pieces_count, tokens * heads * splits(tokens));
  pieces.out = arena.take<float>(CheckedSize(pieces_count) * CheckedSize(padded(most.head_dim)));
  pieces.stats = arena.take<float>(CheckedSize(3 * pieces_count));
  router_logits = arena.take<float>(rows * CheckedSize(experts));
  const CheckedSize all_slots = larger(rows * CheckedSize(experts), decode_all_slots);
  slots.expert = arena.take<std::int32_t>(all_slots);
  slots.weight = arena.take<float>(all_slots);
  dense_slots.expert = arena.take<std::int32_t>(CheckedSize(kDecodeTokens * decode_slots));
  dense_slots.weight = arena.take<float>(CheckedSize(kDecodeTokens * decode_slots));
  shared_weight = arena.take<float>(larger(rows, CheckedSize(kDecodeTokens * decode_slots)));
  sorted.count = arena.take<std::int32_t>(CheckedSize(experts));
  sorted.next = arena.take<std::int32_t>(CheckedSize(experts));
  sorted.row_of_slot = arena.take<std::int32_t>(rows * CheckedSize(experts));
  sorted.token_of_row = arena.take<std::int32_t>(CheckedSize(expert_rows));
  sorted.tile = arena.take<RowTile>(CheckedSize(experts + expert_rows / 8 + 1));
  sorted.tiles = arena.take<std::int32_t>(CheckedSize(1));
  const std::int64_t inner_rows =
      std::max({std::int64_t{expert_rows}, std::int64_t{kDecodeTokens} * decode_slots, batch});
  inner = arena.take<float>(CheckedSize(inner_rows) * CheckedSize(widest_inner(config)));
  expert_output = arena.take<float>(CheckedSize(inner_rows) * width);
  output_parts = arena.take<RowPart>(decode_all_slots * CheckedSize(output_blocks));
  const CheckedSize shared(config.has_shared_expert() ? 1 : 0);
  shared_expert_parts = arena.take<RowPart>(shared * decoding * CheckedSize(output_blocks));
  hidden_parts = arena.take<RowPart>(decoding * CheckedSize(output_blocks));
  sum_parts = arena.take<float>(decoding * CheckedSize(output_blocks));
  layer_parts = arena.take<LayerParts>(CheckedSize(layers));
  logits = arena.take<float>(CheckedSize(head_rows) * CheckedSize(config.vocab_size));
  candidate_parts = place_candidates(arena, CheckedSize(head_rows) * CheckedSize(shares));
  candidates = arena.take<RowCandidates>(CheckedSize(head_rows));
  log_probs = arena.take<float>(rows);
  const std::size_t before = arena.used().value();
  pieces.arrived = arena.take<unsigned>(CheckedSize(kBatchTokens * std::int64_t{most.kv_heads}));
  arrived = arena.take<unsigned>(CheckedSize(1));
  not_finite = arena.take<unsigned>(CheckedSize(2));
  counters_ = arena.used().value() - before;
  pieces.first_token = first_token;
}

CheckedSize Workspace::bytes(const ModelConfig& config, const BackendOptions& options, int multiprocessors) {
  Workspace plan;
  plan.measure(config, options, multiprocessors);
  Arena arena(nullptr);
  plan.place(config, options, arena);
  return arena.used();
}

Status Workspace::fill(cudaStream_t stream) {
  const char* what = "preparing the workspace";
  const std::vector<float> ones(static_cast<std::size_t>(kDecodeTokens * decode_slots), 1.0f);
  const std::size_t slots_bytes = ones.size() * sizeof(float);
  if (auto ok = check(cudaMemsetAsync(pieces.arrived, 0, counters_, stream), what); !ok) return ok;
  if (auto ok = check(cudaMemsetAsync(dense_slots.expert, 0, slots_bytes, stream), what); !ok) return ok;
  const cudaError_t code =
      cudaMemcpyAsync(dense_slots.weight, ones.data(), slots_bytes, cudaMemcpyHostToDevice, stream);
  if (auto ok = check(code, what); !ok) return ok;
  return check(cudaStreamSynchronize(stream), what);
}

Status Workspace::allocate(const ModelConfig& config, const BackendOptions& options, int multiprocessors,
                           cudaStream_t stream) {
  measure(config, options, multiprocessors);
  const std::size_t total = bytes(config, options, multiprocessors).value();
  if (auto ok = memory_.allocate(total, "the workspace"); !ok) return ok;
  Arena arena(memory_.data());
  place(config, options, arena);
  return fill(stream);
}

}  // namespace expertscope::cuda
