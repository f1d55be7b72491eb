// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/heatmap_data.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/analysis/analysis.h"

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

void find_extent(HeatmapData& data) {
  data.measured = false;
  data.low = data.high = data.smallest_positive = 0;
  const auto include = [&](double value) {
    if (!std::isfinite(value)) return;
    data.low = data.measured ? std::min(data.low, value) : value;
    data.high = data.measured ? std::max(data.high, value) : value;
    data.measured = true;
    if (value > 0 && (data.smallest_positive <= 0 || value < data.smallest_positive)) {
      data.smallest_positive = value;
    }
  };
  std::for_each(data.values.begin(), data.values.end(), include);
  std::for_each(data.shared.begin(), data.shared.end(), include);
}

}  // namespace

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

QString format_metric(HeatmapMetric metric, double value) {
  if (std::isnan(value)) return tr("not measured");
  if (metric == HeatmapMetric::load) return QStringLiteral("%1 %").arg(value * 100, 0, 'g', 4);
  return QString::number(value, 'g', 4);
}

QString format_change(HeatmapMetric metric, double value) {
  if (std::isnan(value)) return tr("not measured");
  const QString sign = value > 0 ? QStringLiteral("+") : value < 0 ? QStringLiteral("−") : QString();
  if (metric == HeatmapMetric::load)
    return sign + QStringLiteral("%1 pp").arg(std::abs(value) * 100, 0, 'g', 4);
  return sign + format_metric(metric, std::abs(value));
}

QString format_short(HeatmapMetric metric, double value) {
  if (metric == HeatmapMetric::load) value *= 100;
  const double size = std::abs(value);
  if (size == 0) return QStringLiteral("0");
  if (size >= 1e4 || size < 1e-3) {
    QString text = QString::number(value, 'e', 0);
    return text.replace(QStringLiteral("e+0"), QStringLiteral("e"))
        .replace(QStringLiteral("e-0"), QStringLiteral("e-"));
  }
  if (size >= 100) return QString::number(value, 'f', 0);
  return QString::number(value, 'g', size >= 10 ? 3 : 2);
}

ColourScale HeatmapData::scale(bool logarithmic) const {
  if (difference) {
    const double reach = std::max(std::abs(low), std::abs(high));
    // No difference anywhere is the middle of the scale, not its low end.
    return reach > 0 ? ColourScale{-reach, reach, false} : ColourScale{-1, 1, false};
  }
  if (!logarithmic || smallest_positive <= 0)
    return {std::min(0.0, low), high > 0 || low < 0 ? high : 1.0, false};
  return {smallest_positive < high ? smallest_positive : high / 10, high, true};
}

HeatmapData make_heatmap(const ExpertTable& table, HeatmapMetric metric) {
  HeatmapData data;
  data.metric = metric;
  data.layers = table.layers;
  data.experts = table.experts;
  data.moe_layer = table.moe_layer;
  data.shared_layer = table.shared_layer;
  data.values.assign(table.cells.size(), kNotMeasured);
  data.shared.assign(table.shared.size(), kNotMeasured);
  const LoadResult load = analyze_load(table);
  for (const LayerLoad& layer : load.layers) {
    if (table.has_shared(layer.layer))
      data.shared[layer.layer] = cell_value(table, layer, {layer.layer, kSharedExpert}, metric);
    for (int expert = 0; expert < table.experts; ++expert) {
      const Cell cell{layer.layer, expert};
      const auto index = static_cast<std::size_t>(layer.layer) * static_cast<std::size_t>(table.experts) +
                         static_cast<std::size_t>(expert);
      data.values[index] = cell_value(table, layer, cell, metric);
    }
  }
  find_extent(data);
  return data;
}

HeatmapData make_difference(const ExpertTable& table, const ExpertTable& baseline, HeatmapMetric metric) {
  if (table.layers != baseline.layers || table.experts != baseline.experts) return {};
  HeatmapData data = make_heatmap(table, metric);
  const HeatmapData before = make_heatmap(baseline, metric);
  for (std::size_t i = 0; i < data.values.size(); ++i) {
    data.values[i] -= before.values[i];
  }
  for (std::size_t layer = 0; layer < data.shared.size(); ++layer) {
    data.shared[layer] -= before.shared.empty() ? kNotMeasured : before.shared[layer];
  }
  data.difference = true;
  find_extent(data);
  return data;
}

}  // namespace expertscope
