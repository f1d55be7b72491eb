// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/capture.h"
#include "probes/store/aggregates.h"

namespace expertscope {

/// The block of up to kBlockTokens tokens being filled, in the layout of the blobs. Buffers are sized once.
class OpenBlock {
 public:
  /// Empties the block for tokens from `first_token` on; shapes and probes are those of `like`.
  void start(std::int64_t first_token, const CaptureBlock& like);
  /// Whether tokens of `block` can go on in this one: same slots per token, same probes.
  bool accepts(const CaptureBlock& block) const;
  /// Takes tokens [begin, begin + count) of a capture block; count <= room(). `sequence` is [block.tokens].
  void append(const CaptureBlock& block, int begin, int count, std::span<const std::int32_t> sequence,
              bool generated);

  std::int64_t first_token() const { return first_token_; }
  int tokens() const { return tokens_; }
  int room() const;
  const CaptureRequest& request() const { return request_; }

  std::span<const std::int32_t> token_id(int begin, int end) const;
  std::span<const std::int32_t> sequence(int begin, int end) const;
  std::span<const std::int32_t> position(int begin, int end) const;
  std::span<const std::uint8_t> generated(int begin, int end) const;
  std::span<const float> log_prob(int begin, int end) const;  ///< empty: not measured
  SlotColumns slots(int moe_layer, int begin, int end) const;
  /// The shared expert as expert 0 of a single slot; empty where it was not measured.
  SlotColumns shared(int moe_layer, int begin, int end) const;
  /// `moe_layer` is -1 for a dense layer, which has no entropy.
  LayerColumns layer(int layer, int moe_layer, int begin, int end) const;
  std::span<const float> router_logits(int moe_layer, int begin, int end) const;  ///< [tokens, experts]

 private:
  void append_slots(const CaptureBlock& block, int begin, int count);

  std::int64_t first_token_ = 0;
  int tokens_ = 0;
  int slots_ = 0;
  int experts_ = 0;
  int layers_ = 0;
  int moe_layers_ = 0;
  CaptureRequest request_;
  std::vector<std::int32_t> token_id_, sequence_, position_;
  std::vector<std::uint8_t> generated_;
  std::vector<float> log_prob_;
  // [moe_layers, kBlockTokens, slots]
  std::vector<std::uint16_t> expert_, output_channel_;
  std::vector<float> weight_, probability_, output_norm_, output_max_;
  // [moe_layers, kBlockTokens]; shared_expert_ is 0, or kNoExpert in a layer without a shared expert
  std::vector<std::uint16_t> shared_expert_, shared_channel_;
  std::vector<float> shared_norm_, shared_max_;
  // [layers or moe_layers, kBlockTokens]
  std::vector<float> entropy_, hidden_max_, first_token_attention_;
  std::vector<std::uint16_t> hidden_channel_;
  std::vector<float> router_logits_;  // [moe_layers, kBlockTokens, experts]
};

}  // namespace expertscope
