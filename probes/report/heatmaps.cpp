// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "probes/report/html.h"
#include "probes/report/plots.h"
#include "probes/report/svg.h"

namespace expertscope::report {
namespace {

constexpr double kWidth = 960;
constexpr double kLeft = 44;
constexpr double kTop = 8;
constexpr double kLegend = 112;

// Where the cells of the map are.
struct Grid {
  double cell_width = 0;
  double cell_height = 0;
  int rows = 0;
  int columns = 0;

  Box box(int row, int column) const {
    return {kLeft + column * cell_width, kTop + row * cell_height, cell_width, cell_height};
  }
  double bottom() const { return kTop + rows * cell_height; }
  double right() const { return kLeft + columns * cell_width; }
};

Grid grid_for(const LoadResult& load) {
  Grid grid;
  grid.rows = static_cast<int>(load.layers.size());
  grid.columns = load.layers.empty() ? 0 : static_cast<int>(load.layers[0].count.size());
  const double room = kWidth - kLeft - kLegend;
  // Coordinates are written with one decimal: cells of whole tenths leave no seams.
  grid.cell_width = std::floor(10 * std::clamp(room / std::max(grid.columns, 1), 2.0, 40.0)) / 10;
  // Rows of a small map may be as high as its cells are wide; those of a large one keep a figure on a page.
  const double height =
      std::clamp(560.0 / std::max(grid.rows, 1), 8.0, std::max(18.0, 0.7 * grid.cell_width));
  grid.cell_height = std::floor(10 * height) / 10;
  return grid;
}

int row_of(const LoadResult& load, int layer) {
  for (std::size_t row = 0; row < load.layers.size(); ++row) {
    if (load.layers[row].layer == layer) return static_cast<int>(row);
  }
  return -1;
}

void draw_axes(Svg& svg, const Grid& grid, const LoadResult& load) {
  const int row_step = std::max(1, static_cast<int>(std::ceil(13.0 / grid.cell_height)));
  for (int row = 0; row < grid.rows; row += row_step) {
    const Box box = grid.box(row, 0);
    svg.text({kLeft - 6, box.y + box.height / 2 + 4},
             std::to_string(load.layers[static_cast<std::size_t>(row)].layer), "end");
  }
  const int column_step = std::max(1, static_cast<int>(std::ceil(26.0 / grid.cell_width)));
  const int step = column_step <= 1   ? 1
                   : column_step <= 2 ? 2
                   : column_step <= 4 ? 4
                   : column_step <= 8 ? 8
                                      : 16;
  for (int column = 0; column < grid.columns; column += step) {
    svg.text({grid.box(0, column).x + grid.cell_width / 2, grid.bottom() + 16}, std::to_string(column),
             "middle");
  }
  svg.text({(kLeft + grid.right()) / 2, grid.bottom() + 34}, "expert", "middle");
  svg.vertical_text({12, (kTop + grid.bottom()) / 2}, "layer");
}

struct Scale {
  double low = 0;
  double high = 1;
  std::function<std::string(double)> colour;  ///< of a value
  std::string title;
  double reference = NAN;  ///< a value marked on the legend
  std::string reference_name;
};

void draw_legend(Svg& svg, const Grid& grid, const Scale& scale) {
  const double x = grid.right() + 14;
  const double top = kTop + 16;
  const double height = std::max(60.0, grid.bottom() - top);
  constexpr int steps = 48;
  const auto at = [&](double value) {
    return top + height * (1 - (value - scale.low) / (scale.high - scale.low));
  };
  for (int i = 0; i < steps; ++i) {
    const double value = scale.low + (scale.high - scale.low) * (steps - i - 0.5) / steps;
    svg.cell({x, top + height * i / steps, 14, height / steps + 0.6}, scale.colour(value), {});
  }
  svg.text({x, kTop + 8}, scale.title);
  for (const double tick : linear_ticks(scale.low, scale.high, height < 90 ? 3 : 6)) {
    svg.line({x + 14, at(tick)}, {x + 18, at(tick)}, "axis");
    svg.text({x + 21, at(tick) + 4}, fmt::format("{:.3g}", 100 * tick) + " %");
  }
  if (std::isfinite(scale.reference) && scale.reference <= scale.high) {
    svg.line({x - 4, at(scale.reference)}, {x + 14, at(scale.reference)}, "edit");
  }
}

void draw_marks(Svg& svg, const Grid& grid, const LoadResult& load, const std::vector<CellMark>& marks) {
  for (const CellMark& mark : marks) {
    const int row = row_of(load, mark.layer);
    if (row < 0 || mark.expert >= grid.columns) continue;
    const Box box = grid.box(row, mark.expert);
    const Box frame{box.x + 0.8, box.y + 0.8, box.width - 1.6, box.height - 1.6};
    svg.rect(frame, "mark-edge");
    svg.rect(frame, "mark", mark.text);
    if (grid.cell_width < 12 || grid.cell_height < 11) continue;
    const char* symbol = mark.symbol == 'x'   ? "×"
                         : mark.symbol == '>' ? "→"
                         : mark.symbol == '-' ? "−"
                         : mark.symbol == '+' ? "+"
                                              : "!";
    svg.text({box.x + box.width / 2, box.y + box.height / 2 + 5}, symbol, "middle", "symbol");
  }
}

std::string cell_title(const LayerLoad& load, std::size_t expert) {
  return fmt::format("layer {}, expert {}: {} of the slots ({}), weight sum {}", load.layer, expert,
                     percent(load.share[expert]), grouped(load.count[expert]),
                     number(load.weight_sum[expert]));
}

}  // namespace

std::string load_heatmap(const LoadResult& load, const std::vector<CellMark>& marks) {
  const Grid grid = grid_for(load);
  if (grid.rows == 0 || grid.columns == 0) return "<p>Nothing was routed in this run.</p>\n";
  double largest = 0;
  for (const LayerLoad& layer : load.layers) {
    largest = std::max(largest, *std::max_element(layer.share.begin(), layer.share.end()));
  }
  Scale scale;
  scale.high = largest > 0 ? largest : 1;
  scale.colour = [&scale](double value) { return viridis(value / scale.high); };
  scale.title = "share of layer";
  scale.reference = 1.0 / grid.columns;
  Svg svg(grid.right() + kLegend, grid.bottom() + 42, "Load heatmap: share of each layer's slots per expert");
  for (int row = 0; row < grid.rows; ++row) {
    const LayerLoad& layer = load.layers[static_cast<std::size_t>(row)];
    for (std::size_t expert = 0; expert < layer.count.size(); ++expert) {
      const Box box = grid.box(row, static_cast<int>(expert));
      if (layer.count[expert] == 0) {
        svg.rect(box, "dead", fmt::format("layer {}, expert {}: never used", layer.layer, expert));
      } else {
        svg.cell(box, scale.colour(layer.share[expert]), cell_title(layer, expert));
      }
    }
  }
  draw_axes(svg, grid, load);
  draw_legend(svg, grid, scale);
  draw_marks(svg, grid, load, marks);
  return svg.finish();
}

std::string difference_heatmap(const LoadResult& before, const LoadResult& after,
                               const std::vector<CellMark>& marks) {
  const Grid grid = grid_for(after);
  const bool same = before.layers.size() == after.layers.size();
  if (!same || grid.rows == 0 || grid.columns == 0) return {};
  const auto change = [&](std::size_t row, std::size_t expert) {
    return after.layers[row].share[expert] - before.layers[row].share[expert];
  };
  double largest = 0;
  for (std::size_t row = 0; row < after.layers.size(); ++row) {
    for (std::size_t expert = 0; expert < after.layers[row].share.size(); ++expert) {
      largest = std::max(largest, std::abs(change(row, expert)));
    }
  }
  Scale scale;
  scale.high = largest > 0 ? largest : 0.01;
  scale.low = -scale.high;
  scale.colour = [&scale](double value) { return diverging(value / scale.high); };
  scale.title = "change of share";
  Svg svg(grid.right() + kLegend, grid.bottom() + 42, "Change of the load: share after minus share before");
  for (int row = 0; row < grid.rows; ++row) {
    const auto r = static_cast<std::size_t>(row);
    for (std::size_t expert = 0; expert < after.layers[r].share.size(); ++expert) {
      svg.cell(grid.box(row, static_cast<int>(expert)), scale.colour(change(r, expert)),
               fmt::format("layer {}, expert {}: {} before, {} after", after.layers[r].layer, expert,
                           percent(before.layers[r].share[expert]), percent(after.layers[r].share[expert])));
    }
  }
  draw_axes(svg, grid, after);
  draw_legend(svg, grid, scale);
  draw_marks(svg, grid, after, marks);
  return svg.finish();
}

}  // namespace expertscope::report
