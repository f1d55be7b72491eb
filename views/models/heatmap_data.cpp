// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/heatmap_data.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "probes/analysis/analysis.h"
#include "views/models/numbers.h"

namespace expertscope {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

QString tr(const char* text) {
  return QCoreApplication::translate("Heatmap", text);
}

double cell_value(const ExpertTable& table, const LayerLoad& load, Cell cell, HeatmapMetric metric) {
  const ExpertStats& stats = table.at(cell.layer, cell.expert);
  // Every token runs through a shared expert: nothing routes it, and nothing weighs it as it does the others.
  const bool routing = metric == HeatmapMetric::load || metric == HeatmapMetric::weight;
  if (cell.is_shared() && routing) return kNotMeasured;
  switch (metric) {
    case HeatmapMetric::load:
      return table.tokens > 0 ? load.share[cell.expert] : kNotMeasured;
    case HeatmapMetric::weight:
      return table.tokens > 0 ? stats.weight_sum / static_cast<double>(table.tokens) : kNotMeasured;
    case HeatmapMetric::output_norm:
      return stats.output_channel >= 0 && stats.count > 0 ? stats.norm_sum / static_cast<double>(stats.count)
                                                          : kNotMeasured;
    case HeatmapMetric::output_max:
      return stats.output_channel >= 0 ? stats.output_max : kNotMeasured;
  }
  return kNotMeasured;
}

constexpr double kEnds = 0.002;  // of the values lie beyond each end of the colour scale

/// The value below which `part` of the sorted values lie; they are not empty.
double end_of(const std::vector<double>& sorted, double part) {
  return sorted[static_cast<std::size_t>(std::lround(part * static_cast<double>(sorted.size() - 1)))];
}

}  // namespace

void HeatmapData::find_extent() {
  std::vector<double> finite;
  for (std::size_t i = 0; i < values.size(); ++i) {
    // What never ran has a colour of its own.
    if (std::isfinite(values[i]) && (unused.empty() || unused[i] == 0)) finite.push_back(values[i]);
  }
  std::copy_if(shared.begin(), shared.end(), std::back_inserter(finite),
               [](double v) { return std::isfinite(v); });
  std::sort(finite.begin(), finite.end());
  measured = !finite.empty();
  low = measured ? finite.front() : 0;
  high = measured ? finite.back() : 0;
  std::vector<double> positive(std::upper_bound(finite.begin(), finite.end(), 0.0), finite.end());
  scale_low = positive.empty() ? 0 : end_of(positive, kEnds);
  if (difference) {
    std::for_each(finite.begin(), finite.end(), [](double& v) { v = std::abs(v); });
    std::sort(finite.begin(), finite.end());
  }
  scale_high = measured ? end_of(finite, 1 - kEnds) : 0;
}

QString metric_name(HeatmapMetric metric) {
  switch (metric) {
    case HeatmapMetric::load:
      return tr("Load");
    case HeatmapMetric::weight:
      return tr("Weight per token");
    case HeatmapMetric::output_norm:
      return tr("Output norm");
    case HeatmapMetric::output_max:
      return tr("Max |down_proj|");
  }
  return {};
}

QString metric_explanation(HeatmapMetric metric) {
  switch (metric) {
    case HeatmapMetric::load:
      return tr("Share of the layer's routed slots that went to the expert");
    case HeatmapMetric::weight:
      return tr("Combine weight per token: summed over the expert's slots, divided by all tokens");
    case HeatmapMetric::output_norm:
      return tr("Mean L2 norm of the expert's output over the slots it ran in, before the combine weight");
    case HeatmapMetric::output_max:
      return tr("Largest absolute value in the expert's down_proj output, over all tokens and channels");
  }
  return {};
}

QString HeatmapData::text(Cell cell) const {
  const double value = at(cell);
  if (std::isnan(value)) return tr("not measured");
  if (difference) return share ? change_of_share_text(value) : change_text(value);
  return share ? percent_text(value) : number_text(value);
}

QString HeatmapData::tick_text(double value) const {
  return QString::number(share ? 100 * value : value, 'g', 3).replace(QLatin1Char('-'), QChar(0x2212));
}

QString HeatmapData::short_text(double value) const {
  return number_text(share ? 100 * value : value);
}

ColourScale HeatmapData::scale(bool logarithmic) const {
  if (difference) {
    // No difference anywhere is the middle of the scale, not its low end.
    return scale_high > 0 ? ColourScale{-scale_high, scale_high, logarithmic} : ColourScale{-1, 1, false};
  }
  if (!logarithmic || scale_low <= 0)
    return {std::min(0.0, low), scale_high > 0 || low < 0 ? scale_high : 1.0, false};
  return {scale_low < scale_high ? scale_low : scale_high / 10, scale_high, true};
}

HeatmapData make_heatmap(const ExpertTable& table, HeatmapMetric metric) {
  HeatmapData data;
  data.name = metric_name(metric);
  data.share = metric == HeatmapMetric::load;
  data.unit = data.share ? tr("% of layer") : data.name;
  data.layers = table.layers;
  data.experts = table.experts;
  data.moe_layer = table.moe_layer;
  data.shared_layer = table.shared_layer;
  data.values.assign(table.cells.size(), kNotMeasured);
  data.shared.assign(table.shared.size(), kNotMeasured);
  data.unused.assign(table.cells.size(), 0);
  const LoadResult load = analyze_load(table);
  for (const LayerLoad& layer : load.layers) {
    if (table.has_shared(layer.layer))
      data.shared[layer.layer] = cell_value(table, layer, {layer.layer, kSharedExpert}, metric);
    for (int expert = 0; expert < table.experts; ++expert) {
      const Cell cell{layer.layer, expert};
      const auto index = static_cast<std::size_t>(layer.layer) * static_cast<std::size_t>(table.experts) +
                         static_cast<std::size_t>(expert);
      data.values[index] = cell_value(table, layer, cell, metric);
      data.unused[index] = table.tokens > 0 && table.at(layer.layer, expert).count == 0 ? 1 : 0;
    }
  }
  data.find_extent();
  return data;
}

HeatmapData make_difference(const ExpertTable& table, const ExpertTable& baseline, HeatmapMetric metric) {
  if (table.layers != baseline.layers || table.experts != baseline.experts) return {};
  HeatmapData data = make_heatmap(table, metric);
  const HeatmapData before = make_heatmap(baseline, metric);
  for (std::size_t i = 0; i < data.values.size(); ++i) {
    data.values[i] -= before.values[i];
    data.unused[i] = data.unused[i] != 0 && before.unused[i] != 0 ? 1 : 0;
  }
  for (std::size_t layer = 0; layer < data.shared.size(); ++layer) {
    data.shared[layer] -= before.shared.empty() ? kNotMeasured : before.shared[layer];
  }
  data.difference = true;
  data.unit = data.share ? tr("points") : tr("Δ %1").arg(data.name);
  data.find_extent();
  return data;
}

}  // namespace expertscope
