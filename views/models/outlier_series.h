// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QList>
#include <QPointF>
#include <vector>

#include "probes/analysis/analysis.h"
#include "views/models/selection.h"

namespace expertscope {

/// The outlier plot's points. x = layer + (expert + 0.5) / experts, so that each layer spans one unit, its
/// shared expert first; y = max |down_proj output|.
struct OutlierSeries {
  QList<QPointF> line;            ///< experts in order, decimated to at most kMostPoints keeping the maxima
  QList<QPointF> super_experts;   ///< those of the result
  std::vector<Cell> super_cells;  ///< [super_experts]
  double highest = 0;
  double threshold = 0;  ///< both criteria together: what an expert must exceed
};

/// What QtCharts draws quickly.
inline constexpr int kMostPoints = 4000;

OutlierSeries make_outlier_series(const ExpertTable& table, const SuperExpertResult& result);
double outlier_x(const ExpertTable& table, Cell cell);
/// The cell nearest to an x value.
Cell outlier_cell(const ExpertTable& table, double x);

}  // namespace expertscope
