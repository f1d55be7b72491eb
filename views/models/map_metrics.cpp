// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/map_metrics.h"

#include <QCoreApplication>
#include <algorithm>
#include <array>
#include <iterator>

#include "views/models/table_map.h"

namespace expertscope {
namespace {

/// Of analyses of aggregates.
constexpr std::array<const char*, kMetricsWithKeys> kFirst = {
    "load/experts/share", "experts/cells/weight_per_token", "experts/cells/mean_norm",
    "experts/cells/output_max"};

std::size_t place_of(const MapMetric& metric) {
  return std::find(kFirst.begin(), kFirst.end(), metric.id()) - kFirst.begin();
}

void add(const Analysis& analysis, const Table& table, std::vector<MapMetric>& metrics) {
  for (std::size_t at = key_columns(table.key); at < table.columns.size(); ++at) {
    const ColumnInfo& column = table.columns[at].info();
    const bool known = std::any_of(metrics.begin(), metrics.end(),
                                   [&](const MapMetric& other) { return other.column == column; });
    if (column.type == ColumnType::text || column.is_name() || known) continue;
    metrics.push_back({&analysis, table.id, column, column_name(column)});
  }
}

void name_apart(std::vector<MapMetric>& metrics) {
  for (auto metric = metrics.begin(); metric != metrics.end(); ++metric) {
    const bool taken = std::any_of(metrics.begin(), metric,
                                   [&](const MapMetric& other) { return other.name == metric->name; });
    if (!taken) continue;
    metric->name = QCoreApplication::translate("Heatmap", "%1 (%2)")
                       .arg(metric->name, QString::fromStdString(metric->analysis->id));
  }
}

}  // namespace

QString MapMetric::id() const {
  return QString::fromStdString(analysis->id + "/" + table + "/" + column.id);
}

std::vector<MapMetric> map_metrics(const std::vector<Analysis>& of) {
  std::vector<MapMetric> metrics;
  for (const Analysis& analysis : of) {
    for (const Table& table : analysis.tables) {
      if (table.key == TableKey::layer_expert) add(analysis, table, metrics);
    }
  }
  std::stable_sort(metrics.begin(), metrics.end(),
                   [](const MapMetric& a, const MapMetric& b) { return place_of(a) < place_of(b); });
  name_apart(metrics);
  return metrics;
}

const std::vector<MapMetric>& map_metrics() {
  static const std::vector<MapMetric> kAll = map_metrics(analyses());
  return kAll;
}

}  // namespace expertscope
