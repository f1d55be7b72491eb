// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/memory.h"
#include "engine/model/config.h"

namespace expertscope {

/// Frequencies of a rotary embedding, in radians a position: theta^(-2 i / width), stretched as
/// `spec.scaling` says (ROPE_INIT_FUNCTIONS in modeling_rope_utils.py of transformers 5.24). The dynamic kind
/// depends on the length of the text: it is taken as `positions`, so that what a token gives does not depend
/// on how the text was cut into steps; up to the trained length nothing is stretched.
std::vector<float> rotary_frequencies(const RotarySpec& spec, int positions);

/// Cosines and sines of a rotary position embedding: angle(position, i) = position * frequency(i), rounded to
/// f32 where transformers rounds.
class RopeTable {
 public:
  /// Floats a table for `positions` takes.
  static CheckedSize floats(const RotarySpec& spec, int positions);
  [[nodiscard]] bool build(const RotarySpec& spec, int positions);

  int width() const { return static_cast<int>(2 * half_); }  ///< leading elements of a head that turn
  const float* cosine(std::int64_t position) const {
    return values_.data() + position * 2 * half_;
  }                                                                                    ///< [half]
  const float* sine(std::int64_t position) const { return cosine(position) + half_; }  ///< [half]

 private:
  std::int64_t half_ = 0;  ///< width / 2
  Buffer<float> values_;   ///< [positions][cosine, sine][half]
};

/// The rotary embeddings of a model's layers, each that is different once.
class RopeTables {
 public:
  /// Floats of all tables.
  static CheckedSize floats(const ModelConfig& config, int positions);
  [[nodiscard]] bool build(const ModelConfig& config, int positions);

  const RopeTable& of_layer(int layer) const { return tables_[index_[static_cast<std::size_t>(layer)]]; }

 private:
  std::vector<RopeTable> tables_;
  std::vector<std::size_t> index_;  ///< by layer
};

/// The different rotary embeddings of a model, in the order of its layers, and the number of each layer's.
struct DistinctRotaries {
  std::vector<RotarySpec> specs;
  std::vector<std::size_t> of_layer;
};
DistinctRotaries distinct_rotaries(const ModelConfig& config);

}  // namespace expertscope
