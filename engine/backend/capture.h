// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "engine/backend/probe_columns.h"
#include "engine/backend/routing_table.h"
#include "engine/error.h"

namespace expertscope {

/// Where experts are named by a number, the shared expert of a layer (Super Experts, arXiv 2507.23279).
inline constexpr int kSharedExpert = -1;

/// Marks a slot no expert ran in (top_p, dropped, or merged into another slot by a reroute).
inline constexpr std::uint16_t kNoExpert = 0xffff;

template <class T>
using ProbeVector = std::vector<T>;

/// What the probes saw in one step: the columns of for_each_column(), which are empty where the request did
/// not ask for them. Index of a slot: (moe_layer * tokens + token) * slots + slot; moe_layer counts MoE
/// layers only. What a layer does not have (a shared expert, as many experts as another) stays unset.
struct CaptureBlock : BlockShape, ProbeArrays<ProbeVector> {
  std::vector<std::int32_t> token_id;  ///< [tokens]
  std::vector<std::int32_t> position;  ///< [tokens] position in its sequence
  std::vector<std::int32_t> sequence;  ///< [tokens] which sequence: Session's id

  // What the expert cache of a backend that does not hold all experts did in this step; empty without one.
  std::vector<std::int64_t> cache_hits;    ///< [moe_layers] selected experts that were on the device
  std::vector<std::int64_t> cache_misses;  ///< [moe_layers] those that were not
  std::vector<std::int64_t> cache_bytes;   ///< [moe_layers] bytes read from the host for them

  CaptureRequest request;  ///< what was asked for
  std::shared_ptr<const RoutingTable>
      table;  ///< the table in force; a change marks where an edit took effect

  /// What stands in a column where nothing was measured.
  template <class T>
  static constexpr T unset(ColumnKind kind) {
    if (kind == ColumnKind::index) return static_cast<T>(-1);
    return kind == ColumnKind::number ? std::numeric_limits<T>::quiet_NaN() : T{};
  }
  /// Sizes every array for the request; keeps capacity, so a recycled block does not allocate.
  void prepare(const CaptureRequest& what, const BlockShape& shape);
  std::size_t slot_index(int moe_layer, int token, int slot) const {
    return moe_row(moe_layer, token) * static_cast<std::size_t>(slots) + static_cast<std::size_t>(slot);
  }
  /// Of a column with one value a MoE layer and token.
  std::size_t moe_row(int moe_layer, int token) const {
    return static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(tokens) +
           static_cast<std::size_t>(token);
  }
};

/// Where a Session delivers its blocks. Called from the thread that steps the session.
class CaptureSink {
 public:
  virtual ~CaptureSink() = default;
  /// An empty block to fill, recycled where possible.
  virtual std::unique_ptr<CaptureBlock> acquire() = 0;
  /// Takes a filled block; may wait for room. An error (disk full) stops the step that delivered it.
  virtual Status deliver(std::unique_ptr<CaptureBlock> block) = 0;
};

}  // namespace expertscope
