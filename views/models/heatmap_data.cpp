// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/heatmap_data.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "views/models/numbers.h"

namespace expertscope {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

QString tr(const char* text) {
  return QCoreApplication::translate("Heatmap", text);
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

HeatmapData difference_of(HeatmapData map, const HeatmapData& baseline) {
  if (map.layers != baseline.layers || map.experts != baseline.experts) return {};
  for (std::size_t i = 0; i < map.values.size(); ++i) {
    map.values[i] -= baseline.values[i];
    map.unused[i] = map.unused[i] != 0 && baseline.unused[i] != 0 ? 1 : 0;
  }
  for (std::size_t layer = 0; layer < map.shared.size(); ++layer) {
    map.shared[layer] -= baseline.shared.empty() ? kNotMeasured : baseline.shared[layer];
  }
  map.difference = true;
  map.unit = map.share ? tr("points") : tr("Δ %1").arg(map.name);
  map.find_extent();
  return map;
}

}  // namespace expertscope
