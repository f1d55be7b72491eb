// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

#include "engine/backend/capture.h"
#include "engine/cpu/reference_math.h"
#include "engine/cpu/router.h"

namespace expertscope::cpu {

/// Where a layer of the reference puts what a CaptureRequest asks for. Does nothing without a block.
class LayerProbes {
 public:
  /// `layer` counts decoder layers, `moe_layer` those with a router. `block` is prepared.
  LayerProbes(CaptureBlock* block, int layer, int moe_layer)
      : block_(block),
        layer_(static_cast<std::size_t>(layer)),
        moe_layer_(static_cast<std::size_t>(moe_layer)) {}

  /// Attention on position 0, the mean over the heads.
  void first_token(std::size_t token, float mass) const;
  /// The router's unedited logits and the slots that came of them.
  void routing(std::size_t token, RouterSpec::Score score, std::span<const float> logits,
               std::span<const RoutedSlot> slots) const;
  /// f_e of a slot, which an edit multiplies by `scale`.
  void output(std::size_t token, std::size_t slot, std::span<const float> output, float scale) const;
  /// What a slot adds to the sum over the slots of the token, by their norms.
  void contribution(std::size_t token, std::size_t slot, float term_norm, float sum_norm) const;
  /// Outputs of the shared expert, of all tokens, before its gate.
  void shared(const Rows& outputs) const;
  /// The residual stream after the layer, of all tokens.
  void hidden(const Rows& hidden) const;

 private:
  std::size_t moe_row(std::size_t token) const {
    return moe_layer_ * static_cast<std::size_t>(block_->tokens) + token;
  }

  CaptureBlock* block_;
  std::size_t layer_, moe_layer_;
};

}  // namespace expertscope::cpu
