// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "probes/report/colour_scale.h"
#include "probes/report/html.h"
#include "probes/report/limits.h"
#include "probes/report/svg.h"

namespace expertscope::report {
namespace {

constexpr double kWidth = 960;
constexpr double kHeight = 340;
constexpr Box kPlot{62, 14, kWidth - 62 - 20, kHeight - 14 - 46};

// A plot over the layers: x in layers, y linear or logarithmic.
struct Axes {
  int layers = 1;
  double low = 0;
  double high = 1;
  bool logarithmic = false;

  double x(double layer) const { return kPlot.x + kPlot.width * layer / std::max(layers, 1); }
  double y(double value) const {
    const double t = logarithmic ? std::log(std::max(value, low) / low) / std::log(high / low)
                                 : (value - low) / (high - low);
    return kPlot.y + kPlot.height * (1 - std::clamp(t, 0.0, 1.0));
  }
};

void draw_frame(Svg& svg, const Axes& axes, std::string_view y_title, double y_scale, const char* unit) {
  for (const double tick : round_ticks(axes.low, axes.high, axes.logarithmic, axes.logarithmic ? 6 : 5)) {
    svg.line({kPlot.x, axes.y(tick)}, {kPlot.x + kPlot.width, axes.y(tick)}, "grid");
    svg.text({kPlot.x - 8, axes.y(tick) + 4}, fmt::format("{:.4g}{}", tick * y_scale, unit), "end");
  }
  const double bottom = kPlot.y + kPlot.height;
  const int step = std::max(1, (axes.layers + 23) / 24);
  for (int layer = 0; layer < axes.layers; layer += step) {
    svg.text({axes.x(layer + 0.5), bottom + 17}, std::to_string(layer), "middle");
  }
  svg.line({kPlot.x, bottom}, {kPlot.x + kPlot.width, bottom}, "axis");
  svg.text({kPlot.x + kPlot.width / 2, bottom + 38}, "layer", "middle");
  svg.vertical_text({14, kPlot.y + kPlot.height / 2}, y_title);
}

// The name stands at the right end, above its line or, where another is close above, below it: what exceeds a
// threshold is named too, and that is mostly in the first layers.
void draw_threshold(Svg& svg, const Axes& axes, double value, double right, const std::string& name,
                    bool below = false) {
  if (!(value > axes.low)) return;
  svg.line({kPlot.x, axes.y(value)}, {right, axes.y(value)}, "threshold");
  svg.text({right - 4, axes.y(value) + (below ? 14 : -5)}, name, "end", "label threshold-label");
}

Axes outlier_axes(const SuperExpertResult& result, int layers) {
  double smallest = INFINITY;
  double largest = 0;
  for (const SuperExpert& expert : result.ranking) {
    if (!(expert.output_max > 0)) continue;
    smallest = std::min(smallest, expert.output_max);
    largest = std::max(largest, expert.output_max);
  }
  Axes axes{layers, 0, 1, true};
  axes.low = std::isfinite(smallest) ? smallest / 1.3 : 0.1;
  axes.high = std::max(largest * 1.5, axes.low * 10);
  return axes;
}

std::string expert_title(const SuperExpert& expert) {
  return fmt::format(
      "layer {}, {}: {} in channel {}", expert.layer,
      expert.expert == kSharedExpert ? "shared expert" : fmt::format("expert {}", expert.expert),
      number(expert.output_max), expert.channel);
}

std::string expert_label(const SuperExpert& expert) {
  if (expert.expert == kSharedExpert) return fmt::format("L{} shared", expert.layer);
  return fmt::format("L{} E{}", expert.layer, expert.expert);
}

// The experts that have a point, from the first (the shared one where there is one) to behind the last.
struct ExpertRange {
  int begin = 0;
  int end = 1;
};

ExpertRange expert_range(const SuperExpertResult& result) {
  ExpertRange range;
  for (const SuperExpert& expert : result.ranking) {
    range.begin = std::min(range.begin, expert.expert);
    range.end = std::max(range.end, expert.expert + 1);
  }
  return range;
}

// Points from left to right inside a layer's band follow the expert number.
double expert_x(const Axes& axes, const SuperExpert& expert, const ExpertRange& range) {
  const double place = (expert.expert - range.begin + 0.5) / (range.end - range.begin);
  return axes.x(expert.layer + 0.08 + 0.84 * place);
}

void draw_bands(Svg& svg, const Axes& axes, int included) {
  for (int layer = 1; layer < axes.layers; layer += 2) {
    svg.rect({axes.x(layer), kPlot.y, axes.x(layer + 1) - axes.x(layer), kPlot.height}, "band");
  }
  if (included >= axes.layers) return;
  svg.rect({axes.x(included), kPlot.y, axes.x(axes.layers) - axes.x(included), kPlot.height}, "excluded",
           "these layers do not count for super experts");
  svg.text({axes.x(axes.layers) - 4, kPlot.y + 13}, "not counted", "end");
}

/// A number of a layer over the tokens.
struct LayerRange {
  int layer = 0;
  double mean = 0, min = 0, max = 0;
  std::string title;  ///< of the point
};

// The means as a curve inside the band from the smallest to the largest.
void draw_ranges(Svg& svg, const Axes& axes, const std::vector<LayerRange>& ranges) {
  std::vector<Point> mean;
  std::vector<Point> band;
  for (const LayerRange& range : ranges) {
    mean.push_back({axes.x(range.layer + 0.5), axes.y(range.mean)});
    band.push_back({axes.x(range.layer + 0.5), axes.y(range.max)});
  }
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range)
    band.push_back({axes.x(range->layer + 0.5), axes.y(range->min)});
  svg.polygon(band, "range");
  svg.polyline(mean, "curve");
  for (const LayerRange& range : ranges)
    svg.circle({axes.x(range.layer + 0.5), axes.y(range.mean)}, 3.5, "point", range.title);
}

// Every expert's point, and super experts with their names. Of too many only the largest at each place.
void draw_points(Svg& svg, const Axes& axes, const SuperExpertResult& result) {
  const ExpertRange experts = expert_range(result);
  const auto cell = [](const SuperExpert& expert) { return std::pair(expert.layer, expert.expert); };
  std::set<std::pair<int, int>> super;
  for (const SuperExpert& expert : result.super_experts)
    super.insert(cell(expert));
  const bool thinned = result.ranking.size() > kMostPoints;
  std::set<int> taken;  // in half units of the picture; the ranking begins with the largest
  for (const SuperExpert& expert : result.ranking) {
    if (!(expert.output_max > 0) || super.count(cell(expert)) > 0) continue;
    const double x = expert_x(axes, expert, experts);
    if (thinned && !taken.insert(static_cast<int>(2 * x)).second) continue;
    svg.circle({x, axes.y(expert.output_max)}, 2.2, "point", expert_title(expert));
  }
  std::size_t drawn = 0;
  for (const SuperExpert& expert : result.super_experts) {
    const Point at{expert_x(axes, expert, experts), axes.y(expert.output_max)};
    if (drawn >= kMostRowsOfATable) break;
    svg.circle(at, 5, "super", expert_title(expert));
    if (++drawn > kMostLabels) continue;
    const bool left = at.x > kPlot.x + kPlot.width - 90;
    svg.text({left ? at.x - 9 : at.x + 9, at.y + 4}, expert_label(expert), left ? "end" : "start",
             "label strong");
  }
}

}  // namespace

std::string outlier_plot(const SuperExpertResult& result, int layers) {
  if (result.ranking.empty()) return "<p>Expert outputs were not measured in this run.</p>\n";
  const Axes axes = outlier_axes(result, layers);
  Svg svg(kWidth, kHeight, "Largest absolute down_proj output of every expert, layer by layer");
  draw_bands(svg, axes, result.layers_included);
  draw_frame(svg, axes, "max |down_proj output|", 1, "");
  const double right = axes.x(result.layers_included);
  const double max = result.max_threshold;
  const double percentile = result.percentile_threshold;
  const bool close = std::abs(axes.y(max) - axes.y(percentile)) < 18;
  draw_threshold(svg, axes, max, right, fmt::format("max / {:g}", result.options.max_divisor),
                 close && max < percentile);
  draw_threshold(svg, axes, percentile, right, fmt::format("P{:g}", result.options.percentile),
                 close && max >= percentile);
  draw_points(svg, axes, result);
  return svg.finish();
}

std::string entropy_plot(const EntropyResult& entropy, int layers, int experts) {
  if (entropy.layers.empty()) return "<p>Router entropy was not measured in this run.</p>\n";
  Axes axes{layers, 0, 1, false};
  const double uniform = std::log(static_cast<double>(std::max(experts, 2)));
  axes.high = uniform * 1.06;
  Svg svg(kWidth, kHeight, "Mean router entropy per layer, with its range over the tokens");
  draw_frame(svg, axes, "router entropy [nats]", 1, "");
  draw_threshold(svg, axes, uniform, kPlot.x + kPlot.width, "uniform: ln E");
  std::vector<LayerRange> ranges;
  for (const LayerEntropy& layer : entropy.layers) {
    ranges.push_back(
        {layer.layer, layer.mean, layer.min, layer.max,
         fmt::format("layer {}: mean {} nats ({} of the largest possible), {} to {}", layer.layer,
                     number(layer.mean), percent(layer.normalised), number(layer.min), number(layer.max))});
  }
  draw_ranges(svg, axes, ranges);
  return svg.finish();
}

std::string attention_plot(const AttentionResult& attention, int layers) {
  if (attention.layers.empty()) return {};
  const Axes axes{layers, 0, 1.05, false};
  Svg svg(kWidth, kHeight, "Mean attention on the first token per layer, with its range over the tokens");
  draw_frame(svg, axes, "attention on the first token", 100, " %");
  std::vector<LayerRange> ranges;
  for (const LayerAttention& layer : attention.layers) {
    ranges.push_back({layer.layer, layer.mean, layer.min, layer.max,
                      fmt::format("layer {}: mean {}, {} to {}", layer.layer, percent(layer.mean),
                                  percent(layer.min), percent(layer.max))});
  }
  draw_ranges(svg, axes, ranges);
  return svg.finish();
}

std::string overlap_plot(const std::vector<LayerOverlap>& overlap, int layers) {
  if (overlap.empty()) return {};
  const Axes axes{layers, 0, 1.05, false};
  Svg svg(kWidth, kHeight, "Overlap of the selected experts before and after, per layer");
  draw_frame(svg, axes, "same experts selected", 100, " %");
  std::vector<Point> points;
  for (const LayerOverlap& layer : overlap)
    points.push_back({axes.x(layer.layer + 0.5), axes.y(layer.overlap)});
  svg.polyline(points, "curve");
  for (const LayerOverlap& layer : overlap) {
    svg.circle({axes.x(layer.layer + 0.5), axes.y(layer.overlap)}, 3.5, "point",
               fmt::format("layer {}: {}", layer.layer, percent(layer.overlap)));
  }
  return svg.finish();
}

}  // namespace expertscope::report
