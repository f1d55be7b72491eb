// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/outlier_series.h"

#include <algorithm>
#include <cmath>

namespace expertscope {
namespace {

/// Keeps the highest point of each of `columns` equal groups.
QList<QPointF> decimate(const QList<QPointF>& points, int columns) {
  if (points.size() <= columns) return points;
  QList<QPointF> kept;
  kept.reserve(columns);
  for (int column = 0; column < columns; ++column) {
    const qsizetype begin = points.size() * column / columns;
    const qsizetype end = points.size() * (column + 1) / columns;
    kept << *std::max_element(points.begin() + begin, points.begin() + end,
                              [](const QPointF& a, const QPointF& b) { return a.y() < b.y(); });
  }
  return kept;
}

}  // namespace

double outlier_x(const ExpertTable& table, Cell cell) {
  const int first = table.first_expert(cell.layer);
  return cell.layer + (cell.expert - first + 0.5) / std::max(1, table.experts - first);
}

Cell outlier_cell(const ExpertTable& table, double x) {
  if (!(x >= 0) || x >= table.layers || table.experts < 1) return {};
  const int layer = static_cast<int>(std::floor(x));
  const int first = table.first_expert(layer);
  const int place = static_cast<int>((x - layer) * (table.experts - first));
  return {layer, std::min(table.experts - 1, first + place)};
}

OutlierSeries make_outlier_series(const ExpertTable& table, const SuperExpertResult& result) {
  OutlierSeries series;
  QList<QPointF> points;
  for (int layer = 0; layer < table.layers; ++layer) {
    if (table.moe_layer[layer] == 0) continue;
    for (int expert = table.first_expert(layer); expert < table.experts; ++expert) {
      const ExpertStats& stats = table.at(layer, expert);
      if (stats.output_channel < 0) continue;
      points << QPointF(outlier_x(table, {layer, expert}), stats.output_max);
      series.highest = std::max(series.highest, stats.output_max);
    }
  }
  series.line = decimate(points, kMostPoints);
  for (const SuperExpert& expert : result.super_experts) {
    series.super_cells.push_back({expert.layer, expert.expert});
    series.super_experts << QPointF(outlier_x(table, series.super_cells.back()), expert.output_max);
  }
  series.threshold = std::max(result.percentile_threshold, result.max_threshold);
  return series;
}

}  // namespace expertscope
