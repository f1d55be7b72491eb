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

  bool operator==(const ColumnInfo&) const = default;
  /// Whether its numbers name something (a layer, an expert, a channel, a token) and measure nothing.
  bool is_name() const;
};

/// Two columns that most tables begin with.
ColumnInfo layer_column();
ColumnInfo expert_column();

/// An index that is negative where there is none: a channel, a token.
struct Index {
  std::int64_t value = -1;
};

/// A column with its values, of which some may be missing.
class Column {
 public:
  explicit Column(ColumnInfo column_info) : info_(std::move(column_info)) {}

  const ColumnInfo& info() const { return info_; }
  ColumnType type() const { return info_.type; }
  std::size_t size() const;

  // Each adds a value of the column's own type; a number may be given as an integer.
  void add(std::int64_t value);
  void add(int value) { add(std::int64_t{value}); }
  void add(bool value) { integers_.push_back(value ? 1 : 0); }
  void add(double value) { numbers_.push_back(value); }  ///< not finite: missing
  void add(std::string value) { texts_.emplace_back(std::move(value)); }
  void add(const char* value) { add(std::string(value)); }
  void add(std::optional<std::string> value) { texts_.push_back(std::move(value)); }
  void add(Index index);

  bool has(std::size_t row) const;
  /// Of an integer or a flag; where there is none, 0.
  std::int64_t integer(std::size_t row) const;
  /// Of any type but text; NaN where there is none.
  double number(std::size_t row) const;
  /// Empty where there is none.
  const std::string& text(std::size_t row) const;
  Value value(std::size_t row) const;
  /// Memory that the values take.
  std::size_t bytes() const;
  /// The same column of these rows only.
  Column of_rows(const std::vector<std::size_t>& rows) const;

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
  example,        ///< layer, expert, token_id, domain: what rows of another table look like in the text
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
  /// The column whose largest values a person wants to see first of many rows; empty: as they stand.
  std::string ranked_by;
  std::vector<Column> columns;

  Table(std::string table_id, std::string table_title, TableKey table_key,
        const std::vector<ColumnInfo>& infos, std::string rank_column = {});

  std::size_t rows() const { return columns.empty() ? 0 : columns.front().size(); }
  /// Null: there is none.
  const Column* find(std::string_view column_id) const;
  /// The same table of these rows only.
  Table of_rows(const std::vector<std::size_t>& rows) const;
  /// Adds a row, a value for each column in order.
  template <class... Values>
  void add_row(Values&&... values) {
    std::size_t at = 0;
    (columns[at++].add(std::forward<Values>(values)), ...);
  }
};

}  // namespace expertscope
