// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/aggregates.h"

#include <array>
#include <cmath>
#include <vector>

#include "engine/backend/capture.h"
#include "probes/store/schema.h"
#include "probes/store/stat_table.h"

namespace expertscope {
namespace {

// Whether a value replaces a maximum that was found at `token` (negative: nowhere yet). NaN and infinity
// never do.
bool is_larger(double value, double maximum, std::int64_t token) {
  return std::isfinite(value) && (token < 0 || value > maximum);
}

// One of the sums over slots, where it was measured.
struct SlotSum {
  double ExpertStats::*to;
  const float* values;
  const float* factors;  // null: of the values alone
};

std::vector<SlotSum> measured_sums(const LayerColumns& columns) {
  std::vector<SlotSum> sums;
  for (const auto& column : expert_stats_table().columns) {
    if (column.kind != StatKind::sum) continue;
    const auto values = columns.*column.from[0];
    const auto factors = column.from[1] != nullptr ? columns.*column.from[1] : ProbeSpan<float>();
    if (values.empty() || (column.from[1] != nullptr && factors.empty())) continue;
    sums.push_back({std::get<double ExpertStats::*>(column.member), values.data(), factors.data()});
  }
  return sums;
}

// In one pass: an expert's numbers are close to each other, the columns are not.
void add_sums(const LayerColumns& columns, std::span<ExpertStats> experts) {
  const auto sums = measured_sums(columns);
  for (std::size_t i = 0; i < columns.expert.size(); ++i) {
    if (columns.expert[i] == kNoExpert) continue;
    ExpertStats& stats = experts[columns.expert[i]];
    ++stats.count;
    for (const SlotSum& sum : sums) {
      const double value = sum.values[i];
      stats.*sum.to += sum.factors != nullptr ? sum.factors[i] * value : value;
    }
  }
}

// One slot into its expert's maxima; `index` counts slots from the start of the columns.
void add_peak(const LayerColumns& columns, std::size_t index, std::int64_t token, std::uint8_t& seen,
              ExpertStats& stats) {
  const double value = columns.output_max[index];
  const std::int32_t channel = columns.output_channel[index];
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
  seen = 1;
}

void add_peaks(const LayerColumns& columns, std::span<const std::int32_t> sequence, FirstRows& first_rows,
               std::span<ExpertStats> experts) {
  std::size_t index = 0;
  for (int token = 0; token < columns.tokens; ++token) {
    std::uint8_t* seen = first_rows.flags(sequence[token]);
    for (int slot = 0; slot < columns.slots; ++slot, ++index) {
      const std::uint16_t expert = columns.expert[index];
      if (expert != kNoExpert)
        add_peak(columns, index, columns.first_token + token, seen[expert], experts[expert]);
    }
  }
}

// The fields of LayerStats that sum up one number a token.
struct Numbers {
  std::int64_t LayerStats::*tokens;
  double LayerStats::*sum;
  double LayerStats::*least;
  double LayerStats::*most;
};

void add_numbers(std::span<const float> values, const Numbers& to, LayerStats& stats) {
  for (const double value : values) {
    stats.*to.sum += value;
    if (!std::isfinite(value)) continue;
    const bool first = (stats.*to.tokens)++ == 0;
    if (first || value < stats.*to.least) stats.*to.least = value;
    if (first || value > stats.*to.most) stats.*to.most = value;
  }
}

}  // namespace

LayerColumns LayerColumns::part(int begin, int end) const {
  LayerColumns cut = *this;
  cut.first_token += begin;
  cut.tokens = end - begin;
  for_each_stored_column(
      [&](const ProbeColumn&, auto& values) {
        const std::size_t width = tokens > 0 ? values.size() / static_cast<std::size_t>(tokens) : 0;
        values = values.subspan(static_cast<std::size_t>(begin) * width,
                                static_cast<std::size_t>(end - begin) * width);
      },
      cut);
  return cut;
}

LayerColumns LayerColumns::of_shared() const {
  static constexpr std::array<std::uint16_t, kBlockTokens> kZeros{};
  LayerColumns columns;
  columns.first_token = first_token;
  columns.tokens = tokens;
  columns.slots = 1;
  columns.expert = std::span(kZeros).first(shared_max.size());
  columns.output_norm = shared_norm;
  columns.output_max = shared_max;
  columns.output_channel = shared_channel;
  return columns;
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

bool add_slots(const LayerColumns& columns, std::span<const std::int32_t> sequence, FirstRows& first_rows,
               std::span<ExpertStats> experts) {
  for (const std::uint16_t expert : columns.expert)
    if (expert != kNoExpert && expert >= experts.size()) return false;
  add_sums(columns, experts);
  if (!columns.output_max.empty()) add_peaks(columns, sequence, first_rows, experts);
  return true;
}

void add_layer(const LayerColumns& columns, LayerStats& stats) {
  using L = LayerStats;
  add_numbers(columns.entropy, {&L::entropy_tokens, &L::entropy_sum, &L::entropy_min, &L::entropy_max},
              stats);
  add_numbers(columns.first_token_attention,
              {&L::attention_tokens, &L::attention_sum, &L::attention_min, &L::attention_max}, stats);
  for (std::size_t i = 0; i < columns.hidden_max.size(); ++i) {
    const double value = columns.hidden_max[i];
    if (!is_larger(value, stats.hidden_max, stats.hidden_token)) continue;
    stats.hidden_max = value;
    stats.hidden_channel = columns.hidden_channel[i];
    stats.hidden_token = columns.first_token + static_cast<std::int64_t>(i);
  }
  stats.tokens += columns.tokens;
}

}  // namespace expertscope
