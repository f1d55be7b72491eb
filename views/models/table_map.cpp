// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/table_map.h"

#include <QCoreApplication>
#include <limits>

namespace expertscope {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

QString unit_of(const ColumnInfo& info, bool difference) {
  if (info.unit != "share") return QString::fromStdString(info.unit.empty() ? info.title : info.unit);
  return difference ? QCoreApplication::translate("Heatmap", "points")
                    : QCoreApplication::translate("Heatmap", "% of layer");
}

HeatmapData blank(const ExpertTable& shape) {
  HeatmapData data;
  data.layers = shape.layers;
  data.experts = shape.experts;
  data.moe_layer = shape.moe_layer;
  data.values.assign(shape.cells.size(), kNotMeasured);
  data.unused.assign(shape.cells.size(), 0);
  return data;
}

}  // namespace

HeatmapData map_of(const Table& table, std::string_view column, const ExpertTable& shape, bool difference,
                   std::string_view domain) {
  HeatmapData data = blank(shape);
  const Column* layers = table.find("layer");
  const Column* experts = table.find("expert");
  const Column* values = table.find(column);
  const Column* counts = table.find("count");
  const Column* domains = table.find("domain");
  if (layers == nullptr || experts == nullptr || values == nullptr) return data;
  data.name = QString::fromStdString(values->info().title);
  data.unit = unit_of(values->info(), difference);
  data.share = values->info().unit == "share";
  data.difference = difference;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (!domain.empty() && (domains == nullptr || domains->text(row) != domain)) continue;
    const std::int64_t layer = layers->integer(row);
    const std::int64_t expert = experts->integer(row);
    if (layer < 0 || layer >= shape.layers || expert < 0 || expert >= shape.experts) continue;
    const auto cell = static_cast<std::size_t>(layer * shape.experts + expert);
    data.values[cell] = values->number(row);
    data.unused[cell] = counts != nullptr && counts->integer(row) == 0 ? 1 : 0;
  }
  data.find_extent();
  return data;
}

}  // namespace expertscope
