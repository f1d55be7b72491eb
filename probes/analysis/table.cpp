// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace expertscope {
namespace {

constexpr std::int64_t kNoInteger = std::numeric_limits<std::int64_t>::min();

}  // namespace

bool ColumnInfo::is_name() const {
  return unit == "layer" || unit == "expert" || unit == "channel" || unit == "token index" ||
         unit == "token id";
}

ColumnInfo layer_column() {
  return {"layer", "layer", ColumnType::integer, "layer", "Decoder layer, from 0."};
}

ColumnInfo expert_column() {
  return {"expert", "expert", ColumnType::integer, "expert",
          "Expert of the layer, from 0; -1: the shared one."};
}

std::size_t Column::size() const {
  return integers_.size() + numbers_.size() + texts_.size();  // of which two are empty
}

void Column::add(std::int64_t value) {
  if (info_.type == ColumnType::number) {
    numbers_.push_back(static_cast<double>(value));
  } else {
    integers_.push_back(value);
  }
}

void Column::add(Index index) {
  integers_.push_back(index.value < 0 ? kNoInteger : index.value);
}

bool Column::has(std::size_t row) const {
  switch (info_.type) {
    case ColumnType::number:
      return std::isfinite(numbers_[row]);
    case ColumnType::text:
      return texts_[row].has_value();
    case ColumnType::integer:
    case ColumnType::flag:
      break;
  }
  return integers_[row] != kNoInteger;
}

std::int64_t Column::integer(std::size_t row) const {
  return has(row) ? integers_[row] : 0;
}

double Column::number(std::size_t row) const {
  if (!has(row)) return std::numeric_limits<double>::quiet_NaN();
  return info_.type == ColumnType::number ? numbers_[row] : static_cast<double>(integers_[row]);
}

const std::string& Column::text(std::size_t row) const {
  static const std::string kNone;
  return has(row) ? *texts_[row] : kNone;
}

Value Column::value(std::size_t row) const {
  if (!has(row)) return {};
  switch (info_.type) {
    case ColumnType::number:
      return numbers_[row];
    case ColumnType::text:
      return *texts_[row];
    case ColumnType::flag:
      return integers_[row] != 0;
    case ColumnType::integer:
      break;
  }
  return integers_[row];
}

std::size_t Column::bytes() const {
  std::size_t bytes = 8 * (integers_.size() + numbers_.size()) + sizeof(texts_[0]) * texts_.size();
  for (const auto& text : texts_)
    bytes += text ? text->size() : 0;
  return bytes;
}

Column Column::of_rows(const std::vector<std::size_t>& rows) const {
  Column part(info_);
  for (const std::size_t row : rows) {
    if (!integers_.empty()) part.integers_.push_back(integers_[row]);
    if (!numbers_.empty()) part.numbers_.push_back(numbers_[row]);
    if (!texts_.empty()) part.texts_.push_back(texts_[row]);
  }
  return part;
}

std::size_t key_columns(TableKey key) {
  switch (key) {
    case TableKey::none:
      return 0;
    case TableKey::layer:
    case TableKey::token:
    case TableKey::domain:
      return 1;
    case TableKey::layer_expert:
    case TableKey::token_range:
      return 2;
    case TableKey::expert_pair:
    case TableKey::domain_expert:
    case TableKey::expert_string:
      return 3;
    case TableKey::example:
      return 4;
  }
  return 0;
}

Table::Table(std::string table_id, std::string table_title, TableKey table_key,
             const std::vector<ColumnInfo>& infos, std::string rank_column)
    : id(std::move(table_id)),
      title(std::move(table_title)),
      key(table_key),
      ranked_by(std::move(rank_column)) {
  for (const ColumnInfo& info : infos)
    columns.emplace_back(info);
}

Table Table::of_rows(const std::vector<std::size_t>& rows) const {
  Table part(id, title, key, {}, ranked_by);
  for (const Column& column : columns)
    part.columns.push_back(column.of_rows(rows));
  return part;
}

const Column* Table::find(std::string_view column_id) const {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const Column& column) { return column.info().id == column_id; });
  return found == columns.end() ? nullptr : &*found;
}

}  // namespace expertscope
