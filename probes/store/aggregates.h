// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "probes/store/run_info.h"
#include "probes/store/stored_columns.h"

namespace expertscope {

/// Channel of a maximum that was not measured, as blobs store it.
inline constexpr std::uint16_t kNoChannel = 0xffff;

template <class T>
using ProbeSpan = std::span<const T>;

/// What a trace knows of consecutive tokens in one decoder layer, or (kTokenLayer) in none: the columns of
/// for_each_stored_column() without the index of the layer, each of them empty where it was not measured.
struct LayerColumns : StoredArrays<ProbeSpan> {
  std::int64_t first_token = 0;  ///< run token index
  int tokens = 0;
  int slots = 0;

  /// Tokens [begin, end) of these.
  LayerColumns part(int begin, int end) const;
  /// The shared expert as expert 0 of a single slot; nothing where it was not measured.
  LayerColumns of_shared() const;
};
/// A column of numbers of them.
using LayerNumbers = std::span<const float> ProbeArrays<ProbeSpan>::*;

/// Which experts of one layer a sequence has met already: what first_row_max counts is the first token that
/// reaches an expert in a sequence.
class FirstRows {
 public:
  explicit FirstRows(int experts) : experts_(static_cast<std::size_t>(experts)) {}
  /// [experts] flags of a sequence; stays valid until forget().
  std::uint8_t* flags(int sequence);
  void forget(int sequence);

 private:
  std::size_t experts_;
  std::unordered_map<int, std::vector<std::uint8_t>> seen_;
  int last_sequence_ = -1;
  std::uint8_t* last_flags_ = nullptr;
};

/// Adds slots to the statistics of one layer ([experts]), in token order: the recorder and the reader sum
/// with this one function, so aggregates and sums over blobs agree to the last bit. `sequence` is [tokens].
/// False: an expert id is out of range, and nothing was added.
bool add_slots(const LayerColumns& columns, std::span<const std::int32_t> sequence, FirstRows& first_rows,
               std::span<ExpertStats> experts);

/// Adds the tokens of one layer to its statistics. What is not a finite number does not count for minima and
/// maxima.
void add_layer(const LayerColumns& columns, LayerStats& stats);

}  // namespace expertscope
