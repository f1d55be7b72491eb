// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <string>
#include <vector>

#include "probes/analysis/analysis.h"

namespace expertscope {

/// What a cell of the routing map can show: a column of a table that has a row for each layer and expert.
struct MapMetric {
  const Analysis* analysis = nullptr;  ///< that finds the table
  std::string table;
  ColumnInfo column;
  QString name;  ///< the column's title; where that is not the only one of its name, with the analysis

  /// Stable: settings keep it.
  QString id() const;
  /// What is measured, in a sentence, for tooltips.
  QString explanation() const { return QString::fromStdString(column.meaning); }
  /// Whether it is there at once, also of a run that is being recorded.
  bool of_aggregates() const { return analysis->of_aggregates != nullptr; }
};

/// How many of the metrics have a shortcut: load, weight per token, mean norm, max |down_proj|.
inline constexpr int kMetricsWithKeys = 4;

/// Every number that a table of an analysis has for layers and experts: those with a shortcut, then the
/// others in the order of the analyses. Numbers that name something (a channel, a token) measure nothing;
/// columns that are alike in every word are one.
std::vector<MapMetric> map_metrics(const std::vector<Analysis>& of);
/// Of all analyses.
const std::vector<MapMetric>& map_metrics();

}  // namespace expertscope
