// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "probes/store/aggregates.h"
#include "probes/store/column_codec.h"
#include "probes/store/database.h"

namespace expertscope {

/// Half-open range of token indices with begin <= end, both in [0, kMaxTokens].
struct ClampedRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Which columns a reader wants; the others are not decoded.
using ColumnFilter = bool (*)(const ProbeColumn& column);

/// Rows of column_block, checked: blob sizes agree with tokens and widths, columns that are measured together
/// are there together, and what a block is has order. Columns that this program does not know are passed
/// over.
class BlockReader {
 public:
  /// `experts`: of the run, which bound what has a width. `database` has to outlive the reader.
  static Result<BlockReader> open(const Database& database, std::int64_t run, int experts,
                                  ColumnFilter wanted);

  /// Gives the blocks of a decoder layer that overlap the range, in order and whole. Buffers are used again:
  /// what a visitor gets lives until it returns. False from `visit` ends it.
  Status for_each(int layer, const ClampedRange& range,
                  const std::function<bool(const LayerColumns&)>& visit);
  /// The same of the columns of tokens; blocks must join without a gap.
  Status for_each_tokens(const ClampedRange& range, const std::function<bool(const LayerColumns&)>& visit);

 private:
  /// A column of the file.
  struct Known {
    std::int64_t id = 0;
    std::size_t column = 0;  ///< of kStored
    Encoding encoding = Encoding::f32;
  };
  struct Place {
    std::int64_t token = -1;
    std::int64_t column = -1;
    auto operator<=>(const Place&) const = default;
  };
  BlockReader(const Database& database, std::int64_t run, int experts, ColumnFilter wanted)
      : database_(&database), run_(run), experts_(experts), wanted_(wanted) {}
  Status read_columns();
  Status prepare();
  Status take_row(const Statement& row, int layer, LayerColumns& block);
  std::string decode_column(const Statement& row, const Known& known, LayerColumns& block);
  std::string check(const LayerColumns& block) const;
  tl::unexpected<Error> damaged(int layer, std::int64_t token, const std::string& what) const;

  const Database* database_;
  std::int64_t run_;
  int experts_;
  ColumnFilter wanted_;
  std::vector<Known> known_;  ///< by id
  Statement query_;
  StoredArrays<ProbeVector> buffers_;
  Place last_;  ///< of the row before
};

}  // namespace expertscope
