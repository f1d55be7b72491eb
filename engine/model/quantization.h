// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/error.h"
#include "engine/formats/f8.h"
#include "engine/formats/json_fields.h"
#include "engine/model/weights.h"

namespace expertscope {

/// What config.json says of the way in which weights were quantised. Which of them were, and into how many
/// bits and groups, their tensors say.
struct Quantization {
  /// How integers of several weights share a word (engine/model/packed_weights.h).
  enum class Packing : std::uint8_t { none, rows, gptq, awq };

  /// Elements of E4M3 that share a scale, where scales are those of blocks.
  ScaleBlock f8_block = {kF8Scales.rows, kF8Scales.cols};
  Packing packing = Packing::none;
  bool zero_points = false;     ///< every packed weight has some
  bool zeros_less_one = false;  ///< they are stored less one, 0 as the largest number
  bool reordered = false;       ///< columns may lie in another order than their groups
};

/// Reads `quantization_config` (or what older programs call it); what is not supported, and every key of it
/// that is not known, is refused by name. Activations are never quantised here, whatever it says of them.
Result<Quantization> read_quantization(const JsonFields& config);

}  // namespace expertscope
