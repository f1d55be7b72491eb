// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <memory>
#include <vector>

#include "probes/store/run_info.h"
#include "views/models/colour_map.h"
#include "views/models/selection.h"

namespace expertscope {

/// What a cell of the routing map shows.
enum class HeatmapMetric : std::uint8_t {
  load,         ///< share of the layer's routed slots
  weight,       ///< combine weight per token of the run: the sum over its slots / tokens
  output_norm,  ///< mean ||f_e||_2 over the slots the expert ran in
  output_max,   ///< max |down_proj output|
};
inline constexpr HeatmapMetric kHeatmapMetrics[] = {HeatmapMetric::load, HeatmapMetric::weight,
                                                    HeatmapMetric::output_norm, HeatmapMetric::output_max};

QString metric_name(HeatmapMetric metric);
/// One sentence: what is measured, for tooltips.
QString metric_explanation(HeatmapMetric metric);
/// A value with its unit, four significant digits: "12.5 %", "0.3411".
QString format_metric(HeatmapMetric metric, double value);
/// A difference of two values, with its sign: "+12.5 pp" (percentage points), "−0.3411".
QString format_change(HeatmapMetric metric, double value);
/// The same, short enough for a cell or a legend: "12.5", "0.34", "1.2e4". Load in percent, without the sign.
QString format_short(HeatmapMetric metric, double value);

/// One immutable picture of (layer, expert) values.
struct HeatmapData {
  HeatmapMetric metric = HeatmapMetric::load;
  bool difference = false;  ///< values are signed differences to a baseline
  int layers = 0;
  int experts = 0;
  std::vector<double> values;              ///< [layers, experts]; NaN: not measured
  std::vector<double> shared;              ///< [layers] of the shared expert, or empty: no layer has one
  std::vector<std::uint8_t> moe_layer;     ///< [layers]
  std::vector<std::uint8_t> shared_layer;  ///< [layers], or empty
  bool measured = false;                   ///< whether any value is finite
  double low = 0;                          ///< smallest finite value; 0 when there is none
  double high = 0;                         ///< largest finite value
  double smallest_positive = 0;            ///< for the logarithmic scale; 0 when there is none

  bool empty() const { return values.empty(); }
  bool has_values() const { return measured; }
  double at(Cell cell) const {
    if (cell.is_shared()) return shared[static_cast<std::size_t>(cell.layer)];
    return values[static_cast<std::size_t>(cell.layer) * static_cast<std::size_t>(experts) +
                  static_cast<std::size_t>(cell.expert)];
  }
  /// The same with its unit.
  QString text(Cell cell) const {
    return difference ? format_change(metric, at(cell)) : format_metric(metric, at(cell));
  }
  bool contains(Cell cell) const {
    if (cell.layer < 0 || cell.layer >= layers) return false;
    return cell.is_shared() ? has_shared(cell.layer) : cell.expert >= 0 && cell.expert < experts;
  }
  bool has_shared(int layer) const {
    return !shared_layer.empty() && shared_layer[static_cast<std::size_t>(layer)] != 0;
  }
  bool is_moe(int layer) const { return moe_layer[static_cast<std::size_t>(layer)] != 0; }

  ColourMap colour_map() const { return difference ? ColourMap::diverging : ColourMap::viridis; }
  /// The colour scale: from 0 (linear), from the smallest positive value (logarithmic),
  /// or symmetric around 0 (difference).
  ColourScale scale(bool logarithmic) const;
};

HeatmapData make_heatmap(const ExpertTable& table, HeatmapMetric metric);
/// table - baseline, cell by cell; NaN where either was not measured. The shapes must agree, else it is
/// empty.
HeatmapData make_difference(const ExpertTable& table, const ExpertTable& baseline, HeatmapMetric metric);

}  // namespace expertscope
