// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace expertscope {

enum class ColumnType : std::uint8_t { integer, number, text, flag };

/// One value of any type; monostate: none. A number that is not finite is none, too.
using Value = std::variant<std::monostate, std::int64_t, double, std::string, bool>;

/// What a column, or a single value, is.
struct ColumnInfo {
  std::string id;  ///< snake_case: the header of CSV, the field of JSON
  std::string title;
  ColumnType type = ColumnType::number;
  std::string unit = {};  ///< "share" (0 .. 1, people read percent), "nats", "tokens", ...; "expert": -1 is
                          ///< the shared one; "layer"; empty: none
  std::string meaning = {};  ///< a sentence, with the formula where there is one
};

/// A column with its values, of which some may be missing.
class Column {
 public:
  explicit Column(ColumnInfo column_info) : info_(std::move(column_info)) {}

  const ColumnInfo& info() const { return info_; }
  ColumnType type() const { return info_.type; }
  std::size_t size() const;

  // Each adds a value of the column's own type.
  void add(std::int64_t value) { integers_.push_back(value); }
  void add(int value) { add(std::int64_t{value}); }
  void add(bool value) { integers_.push_back(value ? 1 : 0); }
  void add(double value) { numbers_.push_back(value); }
  void add(std::string value) { texts_.emplace_back(std::move(value)); }
  void add_none();
  /// An index that is negative where there is none (a channel, a token).
  void add_index(std::int64_t value);

  bool has(std::size_t row) const;
  /// Of an integer or a flag; where there is none, 0.
  std::int64_t integer(std::size_t row) const;
  /// Of any type but text; NaN where there is none.
  double number(std::size_t row) const;
  /// Empty where there is none.
  const std::string& text(std::size_t row) const;
  Value value(std::size_t row) const;

 private:
  ColumnInfo info_;
  std::vector<std::int64_t> integers_;  ///< also flags
  std::vector<double> numbers_;
  std::vector<std::optional<std::string>> texts_;
};

/// What a row of a table is about. The columns of the key come first, in this order.
enum class TableKey : std::uint8_t {
  none,           ///< rows stand for themselves: a ranking
  layer,          ///< layer
  layer_expert,   ///< layer, expert
  expert_pair,    ///< layer, expert, other
  token,          ///< token (run token index)
  token_range,    ///< first_token, end_token
  domain,         ///< domain
  domain_expert,  ///< layer, expert, domain
  expert_string,  ///< layer, expert, token_id
};
/// How many of the first columns make up the key.
std::size_t key_columns(TableKey key);

/// A number of the whole result: a threshold, a total.
struct NamedValue {
  ColumnInfo info;
  Value value;
};

/// Rows about one kind of thing. All columns have the same length.
struct Table {
  std::string id;  ///< snake_case: the field of JSON
  std::string title;
  TableKey key = TableKey::none;
  std::string ranked_by =
      {};  ///< column whose largest are what a person wants of many rows; empty: the first rows
  std::vector<Column> columns;

  std::size_t rows() const { return columns.empty() ? 0 : columns.front().size(); }
  /// Null: there is none.
  const Column* find(std::string_view column_id) const;
  /// Adds a column without values, and gives its place.
  std::size_t add_column(ColumnInfo info);
};

}  // namespace expertscope
