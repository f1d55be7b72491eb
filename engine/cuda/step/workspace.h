// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/sizes.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/step/device_step.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// Hands out arrays one behind the other. Without a base it only counts, so that one function both plans and
/// places a workspace.
class Arena {
 public:
  explicit Arena(std::uint8_t* base) : base_(base) {}

  template <class T>
  T* take(CheckedSize count) {
    constexpr std::int64_t kAlignment = 256;
    T* address = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_.value());
    const auto bytes = (count * CheckedSize(sizeof(T))).value();
    const std::size_t rounded =
        bytes > SIZE_MAX - kAlignment ? SIZE_MAX : (bytes + kAlignment - 1) / kAlignment * kAlignment;
    used_ = rounded > INT64_MAX ? CheckedSize(-1) : used_ + CheckedSize(static_cast<std::int64_t>(rounded));
    return address;
  }
  CheckedSize used() const { return used_; }

 private:
  std::uint8_t* base_;
  CheckedSize used_ = CheckedSize(0);
};

/// Every array a step writes on the device, allocated once. B = max_batch, E = num_experts, R = expert rows
/// at a time, H = hidden_size, D = decode tokens. Arrays of activations hold f32 or bf16, whichever the
/// product that reads them wants; their rows are padded.
struct Workspace {
  int expert_rows = 0;    ///< R
  int head_rows = 0;      ///< rows of `logits`: the head runs in slices of so many
  int decode_slots = 0;   ///< slots per token a decode step has room for
  int output_blocks = 0;  ///< blocks of the kernels that leave parts for the probes
  int shares = 0;         ///< blocks that look for candidates in one row of logits

  float* hidden = nullptr;       ///< [B, H] the residual stream
  void* normed = nullptr;        ///< [B, padded H]
  float* exact = nullptr;        ///< [B, padded H] the router's input, or [B, kRouterPieces, padded H] bf16
  float* qkv = nullptr;          ///< [B, q + k + v]
  void* attended = nullptr;      ///< [B, padded heads * head_dim]
  float* first_token = nullptr;  ///< [B, heads], fused: [layers, D, heads]
  AttentionPieces pieces;
  float* router_logits = nullptr;  ///< [B, E]
  DeviceSlots slots;               ///< [B, E], fused: [layers, D, decode_slots]
  DeviceSlots dense_slots;         ///< [D, decode_slots] expert 0 with weight 1
  float* shared_weight = nullptr;  ///< [B], fused: [D, slots] of the shared expert
  SortedRows sorted;
  void* inner = nullptr;                   ///< [R, padded inner], fused: [D, decode_slots, padded inner]
  float* expert_output = nullptr;          ///< [as `inner`, H]
  RowPart* output_parts = nullptr;         ///< [layers, D, decode_slots, output_blocks]
  RowPart* shared_expert_parts = nullptr;  ///< [layers, D, output_blocks]
  RowPart* hidden_parts = nullptr;         ///< [layers, D, output_blocks]
  float* sum_parts = nullptr;              ///< [layers, D, output_blocks]
  LayerParts* layer_parts = nullptr;       ///< [layers]
  unsigned* arrived = nullptr;             ///< [1] blocks of the router
  unsigned* not_finite = nullptr;          ///< [2] hidden state, logits: raised by check_finite
  float* logits = nullptr;                 ///< [head_rows, vocab]
  CandidateParts candidate_parts;          ///< [head_rows, shares]
  RowCandidates* candidates = nullptr;     ///< [head_rows]
  float* log_probs = nullptr;              ///< [B]

  /// Pieces of the context in a recorded step of `tokens`.
  int splits(int tokens) const {
    // Two blocks a multiprocessor keep it busy.
    const int heads = kv_heads_ * tokens;
    return std::clamp((2 * multiprocessors_ + heads - 1) / heads, 1, most_splits_);
  }

  /// Where a decoder layer leaves its parts.
  OutputParts parts(int layer) const {
    const std::size_t tokens = static_cast<std::size_t>(layer) * kDecodeTokens;
    const auto blocks = static_cast<std::size_t>(output_blocks);
    return {output_parts + tokens * static_cast<std::size_t>(decode_slots) * blocks,
            hidden_parts + tokens * blocks, false, sum_parts + tokens * blocks};
  }

  /// Where its shared expert does.
  OutputParts shared_parts(int layer) const {
    const std::size_t first =
        static_cast<std::size_t>(layer) * kDecodeTokens * static_cast<std::size_t>(output_blocks);
    return {shared_expert_parts + first, hidden_parts + first, true};
  }

  /// Bytes that allocate() takes; `multiprocessors` of the device decide how finely work is split.
  static CheckedSize bytes(const ModelConfig& config, const BackendOptions& options, int multiprocessors);
  Status allocate(const ModelConfig& config, const BackendOptions& options, int multiprocessors,
                  cudaStream_t stream);

 private:
  void measure(const ModelConfig& config, const BackendOptions& options, int multiprocessors);
  void place(const ModelConfig& config, const BackendOptions& options, Arena& arena);
  Status fill(cudaStream_t stream);

  int multiprocessors_ = 1;
  int kv_heads_ = 1;
  int most_splits_ = 1;
  DeviceBuffer<std::uint8_t> memory_;
  std::size_t counters_ = 0;  ///< bytes from pieces.arrived on that begin as zero
};

}  // namespace expertscope::cuda
