// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/dtype.h"

namespace expertscope {

/// How elements of a row lie in a file: blocks of `elements`, each of `bytes`. A row a format: to read one
/// more is to add it to the table of weight_format.cpp.
struct WeightFormat {
  std::string_view name;  ///< as files say: "F32", "Q8_0"
  std::size_t elements;
  std::size_t bytes;
  std::optional<DType> in_place;  ///< backends compute with it as it lies; else it is widened to F32
  /// Widens `count` elements, a whole number of blocks; `from` may lie at any address.
  void (*to_f32)(const std::uint8_t* from, std::size_t count, float* to);
};

/// Null for one that is not read.
const WeightFormat* find_weight_format(std::string_view name);

}  // namespace expertscope
