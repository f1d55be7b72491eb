// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/backend/probe_columns.h"

namespace expertscope {

/// What a trace knows of every token, beside what the probes saw.
template <template <class> class Of>
struct TokenArrays {
  Of<std::int32_t> token_id{};
  Of<std::int32_t> sequence{};
  Of<std::int32_t> position{};
  Of<std::uint8_t> generated{};
};
/// Every column of a trace.
template <template <class> class Of>
struct StoredArrays : TokenArrays<Of>, ProbeArrays<Of> {};

/// visit(row of the table, the array of each of `sets`) for every column of a trace: for_each_column() with
/// those of TokenArrays before it, which no probe has to ask for.
template <class Visit, class... Sets>
constexpr void for_each_stored_column(Visit&& visit, Sets&&... sets) {
  using C = ProbeColumn;
  constexpr auto kToken = Granularity::token;
  constexpr auto kIndex = ColumnKind::index;
  visit(C{"token_id", kToken, kIndex, {}, "", "in the vocabulary"}, sets.token_id...);
  visit(C{"sequence", kToken, kIndex, {}, "", "number in table sequence"}, sets.sequence...);
  visit(C{"position", kToken, kIndex, {}, "", "in its sequence"}, sets.position...);
  visit(C{"generated", kToken, kIndex, {}, "", "1: generated, 0: of the prompt or the data"},
        sets.generated...);
  for_each_column(visit, sets...);
}

inline constexpr std::size_t kStoredColumns = [] {
  std::size_t count = 0;
  for_each_stored_column([&](const ProbeColumn&) { ++count; });
  return count;
}();
/// The rows of the table, in its order.
inline constexpr auto kStored = [] {
  std::array<ProbeColumn, kStoredColumns> rows{};
  std::size_t next = 0;
  for_each_stored_column([&](const ProbeColumn& row) { rows[next++] = row; });
  return rows;
}();

/// How the values of a column stand in a blob; column_codec.h has the bytes.
enum class Encoding : std::uint8_t {
  f32,      ///< as they are
  packed,   ///< whole numbers in the bits they need
  rounded,  ///< magnitudes rounded by at most one part in 2048, in the bits they need
};

/// The names under which SPEC.md and table `column` know them.
constexpr const char* name_of(Encoding encoding) {
  constexpr const char* kNames[] = {"f32", "packed", "rounded"};
  return kNames[static_cast<std::size_t>(encoding)];
}
constexpr const char* name_of(Granularity granularity) {
  constexpr const char* kNames[] = {"token", "layer", "moe_layer", "slot", "expert", "shared"};
  return kNames[static_cast<std::size_t>(granularity)];
}

/// `full`: magnitudes as they are.
constexpr Encoding encoding_of(const ProbeColumn& column, bool full) {
  if (column.kind == ColumnKind::index) return Encoding::packed;
  return column.kind == ColumnKind::magnitude && !full ? Encoding::rounded : Encoding::f32;
}

}  // namespace expertscope
