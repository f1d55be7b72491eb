// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/capture.h"
#include "probes/store/aggregates.h"

namespace expertscope {

/// The block of up to kBlockTokens tokens being filled. Buffers are sized once.
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

  std::span<const std::int32_t> sequence(int begin, int end) const;
  /// Tokens [begin, end) in one decoder layer, `moe_layer` -1 for a dense one; or the columns of the tokens
  /// themselves, in kTokenLayer.
  LayerColumns layer(int layer, int moe_layer, int begin, int end) const;

 private:
  std::int64_t first_token_ = 0;
  int tokens_ = 0;
  BlockShape shape_;  ///< with room for kBlockTokens tokens
  CaptureRequest request_;
  StoredArrays<ProbeVector> columns_;
};

}  // namespace expertscope
