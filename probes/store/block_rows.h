// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/error.h"
#include "probes/store/aggregates.h"
#include "probes/store/database.h"
#include "probes/store/run_info.h"

namespace expertscope {

/// Rows of token_block, slot_block and layer_block, checked: blob sizes agree with tokens, slots and experts.
/// Buffers are reused, so what a visitor is given lives until it returns. A visitor returns false to stop.

struct TokenBlockRow {
  std::int64_t first_token = 0;
  std::vector<std::int32_t> token_id, sequence, position;  ///< [tokens]
  std::vector<std::uint8_t> generated;                     ///< [tokens]
  std::vector<float> log_prob;                             ///< [tokens] or empty

  std::int64_t end() const { return first_token + static_cast<std::int64_t>(token_id.size()); }
};

/// Half-open range of token indices with begin <= end, both in [0, kMaxTokens].
struct ClampedRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Rows that overlap the range, in order; consecutive rows must join without a gap.
Status for_each_token_block(const Database& database, std::int64_t run, const ClampedRange& range,
                            const std::function<bool(const TokenBlockRow&)>& visit);

enum class SlotTable : std::uint8_t {
  routed,  ///< slot_block
  shared,  ///< shared_expert_block, as expert 0 of a single slot; only of a run with a shared expert
};
const char* slot_table_name(SlotTable table);
/// Rows of one MoE layer that overlap the range, in order; the columns given are whole rows.
Status for_each_slot_block(const Database& database, const RunInfo& run, SlotTable table, int layer,
                           const ClampedRange& range, const std::function<bool(const SlotColumns&)>& visit);

/// One column of layer_block, [tokens * width] a row; rows where it is NULL are left out.
struct LayerColumnQuery {
  const char* column = "";  ///< entropy, hidden_max, router_logits or first_token_attention
  int layer = 0;
  int width = 1;
};
Status for_each_layer_column(
    const Database& database, std::int64_t run, const LayerColumnQuery& query, const ClampedRange& range,
    const std::function<bool(std::int64_t first_token, int tokens, std::span<const float> values)>& visit);

}  // namespace expertscope
