// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "probes/store/run_info.h"

namespace expertscope {

/// Channel of a maximum that was not measured, as blobs store it.
inline constexpr std::uint16_t kNoChannel = 0xffff;

/// The slots of consecutive tokens of one MoE layer, as the blobs of one slot_block row hold them.
/// Every span is [tokens, slots], or empty where it was not measured.
struct SlotColumns {
  std::int64_t first_token = 0;  ///< run token index
  int tokens = 0;
  int slots = 0;
  std::span<const std::uint16_t> expert;
  std::span<const float> weight;
  std::span<const float> probability;
  std::span<const float> output_norm;
  std::span<const float> output_max;
  std::span<const std::uint16_t> output_channel;

  /// Tokens [begin, end) of these.
  SlotColumns part(int begin, int end) const;
};

/// The per-(layer, token) values of one layer_block row. Spans are [tokens], or empty.
struct LayerColumns {
  std::int64_t first_token = 0;
  int tokens = 0;
  std::span<const float> entropy;
  std::span<const float> hidden_max;
  std::span<const std::uint16_t> hidden_channel;
  std::span<const float> first_token_attention;
};

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
/// False: an expert id is out of range, and nothing was added from that slot on.
bool add_slots(const SlotColumns& columns, std::span<const std::int32_t> sequence, FirstRows& first_rows,
               std::span<ExpertStats> experts);

/// Adds the tokens of one layer to its statistics. What is not a finite number does not count for minima and
/// maxima.
void add_layer(const LayerColumns& columns, LayerStats& stats);

}  // namespace expertscope
