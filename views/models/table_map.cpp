// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/table_map.h"

#include <QCoreApplication>
#include <algorithm>
#include <limits>

namespace expertscope {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

QString tr(const char* text) {
  return QCoreApplication::translate("Heatmap", text);
}

QString unit_of(const ColumnInfo& info, const QString& name, bool difference) {
  if (info.unit == "share") return difference ? tr("points") : tr("%1, %").arg(name);
  const QString unit = QString::fromStdString(info.unit);
  return unit.isEmpty() || info.unit == info.title ? name : tr("%1, %2").arg(name, unit);
}

HeatmapData blank(const ExpertTable& shape) {
  HeatmapData data;
  data.layers = shape.layers;
  data.experts = shape.experts;
  data.moe_layer = shape.moe_layer;
  data.shared_layer = shape.shared_layer;
  data.values.assign(shape.cells.size(), kNotMeasured);
  data.shared.assign(shape.shared.size(), kNotMeasured);
  data.unused.assign(shape.cells.size(), 0);
  return data;
}

}  // namespace

QString column_name(const ColumnInfo& info) {
  QString name = QString::fromStdString(info.title);
  if (!name.isEmpty()) name[0] = name[0].toUpper();
  return name;
}

std::vector<std::size_t> largest_rows_of(const Table& table, Cell cell, const Column& column,
                                         std::size_t most) {
  const Column* layers = table.find("layer");
  const Column* experts = table.find("expert");
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (layers->integer(row) == cell.layer && experts->integer(row) == cell.expert) rows.push_back(row);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [&column](std::size_t a, std::size_t b) { return column.number(a) > column.number(b); });
  rows.resize(std::min(rows.size(), most));
  return rows;
}

std::optional<std::size_t> row_of(const Table& table, Cell cell) {
  const Column* layers = table.find("layer");
  const Column* experts = table.find("expert");
  if (layers == nullptr || experts == nullptr) return std::nullopt;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (layers->integer(row) == cell.layer && experts->integer(row) == cell.expert) return row;
  }
  return std::nullopt;
}

HeatmapData map_of(const Table& table, const ColumnInfo& column, const ExpertTable& shape, bool difference,
                   std::string_view domain) {
  HeatmapData data = blank(shape);
  const Column* layers = table.find("layer");
  const Column* experts = table.find("expert");
  const Column* values = table.find(column.id);
  const Column* counts = table.find("count");
  const Column* domains = table.find("domain");
  data.name = column_name(column);
  data.unit = unit_of(column, data.name, difference);
  data.share = column.unit == "share";
  data.difference = difference;
  if (layers == nullptr || experts == nullptr || values == nullptr) return data;
  for (std::size_t row = 0; shape.tokens > 0 && row < table.rows(); ++row) {
    if (!domain.empty() && (domains == nullptr || domains->text(row) != domain)) continue;
    const std::int64_t layer = layers->integer(row);
    const std::int64_t expert = experts->integer(row);
    if (layer < 0 || layer >= shape.layers || expert < kSharedExpert || expert >= shape.experts) continue;
    if (expert == kSharedExpert) {
      if (!data.shared.empty()) data.shared[static_cast<std::size_t>(layer)] = values->number(row);
      continue;
    }
    const auto cell = static_cast<std::size_t>(layer * shape.experts + expert);
    data.values[cell] = values->number(row);
    data.unused[cell] = (counts != nullptr ? counts->integer(row) : shape.cells[cell].count) == 0 ? 1 : 0;
  }
  data.find_extent();
  return data;
}

}  // namespace expertscope
