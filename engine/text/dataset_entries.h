// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "engine/error.h"
#include "engine/text/text_source.h"

namespace expertscope {

/// Longest document of a JSONL or JSON file, as JSON.
inline constexpr std::size_t kMaxEntryBytes = 16u << 20;

/// A piece of a data file that should be one JSON object.
struct Entry {
  std::string_view text;  ///< valid until the next entry is asked for
  std::int64_t line = 1;  ///< where it begins, from 1
  std::int64_t column = 1;
  bool too_long = false;  ///< more than kMaxEntryBytes: the text is not here
};

/// Cuts what a source brings into entries and holds no more than one of them.
class EntryReader {
 public:
  explicit EntryReader(TextSource& source) : source_(&source) {}

  /// The first character that is no white space; -1 where there is none. Takes nothing away.
  Result<int> first_character();
  /// The same, and what stands before it is forgotten.
  Result<int> skip_to_first();
  /// The next line that is not blank; false at the end.
  Result<bool> next_line(Entry& entry);
  /// The next element of an array or, where the source does not begin with one, the next of the values that
  /// it holds one after the other; false at the end. An error where something else stands between them.
  Result<bool> next_value(Entry& entry);

  /// From here on, what was given out is forgotten.
  void settle() { settled_ = true; }
  /// All that was read so far and not forgotten; only before settle().
  std::string take_all() { return std::move(buffer_); }
  /// Goes back to the first entry; only before settle().
  void rewind();

 private:
  enum class Place : std::uint8_t { start, in_array, after_element, after_array, between_values };
  Result<bool> fill();
  void advance(std::size_t count);
  Result<int> skip_white_space();
  /// Goes on to where a value may begin; false at the end.
  Result<bool> find_value();
  Status measure_value(std::size_t& length, bool& too_long);
  Status skip_line();
  tl::unexpected<Error> unexpected_here(int c) const;

  TextSource* source_;
  std::string buffer_;
  std::size_t position_ = 0;
  std::int64_t line_ = 1;
  std::int64_t column_ = 1;
  std::int64_t first_line_ = 1;  ///< where the buffer begins while not settled
  std::int64_t first_column_ = 1;
  Place place_ = Place::start;
  bool settled_ = false;
};

}  // namespace expertscope
