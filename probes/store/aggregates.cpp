// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/aggregates.h"

#include <cmath>

#include "engine/backend/capture.h"

namespace expertscope {
namespace {

template <class T>
std::span<const T> cut(std::span<const T> values, std::size_t begin, std::size_t count) {
  return values.empty() ? values : values.subspan(begin, count);
}

// Whether a value replaces a maximum that was found at `token` (negative: nowhere yet). NaN and infinity
// never do.
bool is_larger(double value, double maximum, std::int64_t token) {
  return std::isfinite(value) && (token < 0 || value > maximum);
}

// One slot into its expert's sums; `index` counts slots from the start of the columns.
void add_slot(const SlotColumns& columns, std::size_t index, std::int64_t token, std::uint8_t& seen,
              ExpertStats& stats) {
  ++stats.count;
  if (!columns.weight.empty()) {
    stats.weight_sum += columns.weight[index];
    stats.probability_sum += columns.probability[index];
  }
  if (!columns.output_norm.empty()) {
    const double norm = columns.output_norm[index];
    stats.norm_sum += norm;
    if (!columns.weight.empty()) stats.weighted_norm_sum += columns.weight[index] * norm;
    const double value = columns.output_max[index];
    const std::uint16_t blob_channel = columns.output_channel[index];
    const int channel = blob_channel == kNoChannel ? -1 : blob_channel;
    if (is_larger(value, stats.output_max, stats.output_token)) {
      stats.output_max = value;
      stats.output_channel = channel;
      stats.output_token = token;
    }
    if (seen == 0 && is_larger(value, stats.first_row_max, stats.first_row_token)) {
      stats.first_row_max = value;
      stats.first_row_channel = channel;
      stats.first_row_token = token;
    }
  }
  seen = 1;
}

}  // namespace

SlotColumns SlotColumns::part(int begin, int end) const {
  const auto from = static_cast<std::size_t>(begin) * static_cast<std::size_t>(slots);
  const auto count = static_cast<std::size_t>(end - begin) * static_cast<std::size_t>(slots);
  return {first_token + begin,
          end - begin,
          slots,
          cut(expert, from, count),
          cut(weight, from, count),
          cut(probability, from, count),
          cut(output_norm, from, count),
          cut(output_max, from, count),
          cut(output_channel, from, count)};
}

std::uint8_t* FirstRows::flags(int sequence) {
  if (sequence != last_sequence_ || last_flags_ == nullptr) {
    auto& row = seen_[sequence];
    if (row.empty()) row.resize(experts_);
    last_sequence_ = sequence;
    last_flags_ = row.data();
  }
  return last_flags_;
}

void FirstRows::forget(int sequence) {
  seen_.erase(sequence);
  last_flags_ = nullptr;
}

bool add_slots(const SlotColumns& columns, std::span<const std::int32_t> sequence, FirstRows& first_rows,
               std::span<ExpertStats> experts) {
  std::size_t index = 0;
  for (int token = 0; token < columns.tokens; ++token) {
    std::uint8_t* seen = first_rows.flags(sequence[token]);
    for (int slot = 0; slot < columns.slots; ++slot, ++index) {
      const std::uint16_t expert = columns.expert[index];
      if (expert == kNoExpert) continue;
      if (expert >= experts.size()) return false;
      add_slot(columns, index, columns.first_token + token, seen[expert], experts[expert]);
    }
  }
  return true;
}

void add_layer(const LayerColumns& columns, LayerStats& stats) {
  for (std::size_t i = 0; i < columns.entropy.size(); ++i) {
    const double value = columns.entropy[i];
    stats.entropy_sum += value;
    if (!std::isfinite(value)) continue;
    const bool first = stats.entropy_tokens++ == 0;
    if (first || value < stats.entropy_min) stats.entropy_min = value;
    if (first || value > stats.entropy_max) stats.entropy_max = value;
  }
  for (std::size_t i = 0; i < columns.hidden_max.size(); ++i) {
    const double value = columns.hidden_max[i];
    if (!is_larger(value, stats.hidden_max, stats.hidden_token)) continue;
    const std::uint16_t channel = columns.hidden_channel[i];
    stats.hidden_max = value;
    stats.hidden_channel = channel == kNoChannel ? -1 : channel;
    stats.hidden_token = columns.first_token + static_cast<std::int64_t>(i);
  }
  for (const float mass : columns.first_token_attention) {
    const double value = mass;
    stats.attention_sum += value;
    if (!std::isfinite(value)) continue;
    const bool first = stats.attention_tokens++ == 0;
    if (first || value < stats.attention_min) stats.attention_min = value;
    if (first || value > stats.attention_max) stats.attention_max = value;
  }
  stats.tokens += columns.tokens;
}

}  // namespace expertscope
