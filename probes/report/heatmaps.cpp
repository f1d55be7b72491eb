// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "probes/report/colour_scale.h"
#include "probes/report/html.h"
#include "probes/report/limits.h"
#include "probes/report/plots.h"
#include "probes/report/svg.h"

namespace expertscope::report {
namespace {

constexpr double kWidth = 960;
constexpr double kLeft = 52;
constexpr double kTop = 8;
constexpr double kLegend = 112;

// Where the cells of the map are. Of a larger model one cell stands for several layers and experts.
struct Grid {
  double cell_width = 0;
  double cell_height = 0;
  int rows = 0;
  int columns = 0;
  int layers_of_cell = 1;  ///< MoE layers
  int experts_of_cell = 1;

  Box box(int row, int column) const {
    return {kLeft + column * cell_width, kTop + row * cell_height, cell_width, cell_height};
  }
  double bottom() const { return kTop + rows * cell_height; }
  double right() const { return kLeft + columns * cell_width; }
  bool binned() const { return layers_of_cell > 1 || experts_of_cell > 1; }
};

int parts(int whole, int size) {
  return (whole + size - 1) / size;
}

// Fills rows, columns and what a cell stands for.
void bin(int layers, int experts, Grid& grid) {
  grid.layers_of_cell = std::max(1, parts(layers, kMostRows));
  grid.experts_of_cell = std::max(1, parts(experts, kMostColumns));
  const auto cells = [&] {
    return static_cast<std::size_t>(parts(layers, grid.layers_of_cell)) *
           static_cast<std::size_t>(parts(experts, grid.experts_of_cell));
  };
  while (cells() > kMostCells)
    grid.experts_of_cell *= 2;
  grid.rows = parts(layers, grid.layers_of_cell);
  grid.columns = parts(experts, grid.experts_of_cell);
}

int experts_of(const LoadResult& load) {
  return load.layers.empty() ? 0 : static_cast<int>(load.layers[0].count.size());
}

Grid grid_for(const LoadResult& load) {
  Grid grid;
  bin(static_cast<int>(load.layers.size()), experts_of(load), grid);
  const double room = kWidth - kLeft - kLegend;
  // Coordinates are written with one decimal: cells of whole tenths leave no seams.
  grid.cell_width = std::floor(10 * std::clamp(room / std::max(grid.columns, 1), 2.0, 40.0)) / 10;
  // Rows of a small map may be as high as its cells are wide; those of a large one keep a figure on a page.
  const double height =
      std::clamp(560.0 / std::max(grid.rows, 1), 6.0, std::max(18.0, 0.7 * grid.cell_width));
  grid.cell_height = std::floor(10 * height) / 10;
  return grid;
}

// The cell whose value is the largest of those that a cell of the map stands for.
struct Peak {
  std::size_t row = 0;  ///< of the load's layers
  std::size_t expert = 0;
  double value = 0;  ///< signed; the largest is that of the absolute values
};

template <class Value>
Peak peak_of(const LoadResult& load, const Grid& grid, int row, int column, const Value& value) {
  const auto first_row = static_cast<std::size_t>(row * grid.layers_of_cell);
  const auto first = static_cast<std::size_t>(column * grid.experts_of_cell);
  Peak peak{first_row, first, value(first_row, first)};
  const std::size_t last_row =
      std::min(load.layers.size(), first_row + static_cast<std::size_t>(grid.layers_of_cell));
  for (std::size_t r = first_row; r < last_row; ++r) {
    const std::size_t last =
        std::min(load.layers[r].share.size(), first + static_cast<std::size_t>(grid.experts_of_cell));
    for (std::size_t expert = first; expert < last; ++expert) {
      if (std::abs(value(r, expert)) > std::abs(peak.value)) peak = {r, expert, value(r, expert)};
    }
  }
  return peak;
}

void draw_axes(Svg& svg, const Grid& grid, const LoadResult& load) {
  const int row_step = std::max(1, static_cast<int>(std::ceil(13.0 / grid.cell_height)));
  for (int row = 0; row < grid.rows; row += row_step) {
    const Box box = grid.box(row, 0);
    const auto layer = static_cast<std::size_t>(row * grid.layers_of_cell);
    svg.text({kLeft - 6, box.y + box.height / 2 + 4}, std::to_string(load.layers[layer].layer), "end");
  }
  // Wide enough for the longest number, in steps of powers of two.
  const double digits = static_cast<double>(std::to_string(grid.columns * grid.experts_of_cell).size());
  int step = 1;
  while (step * grid.cell_width < 8 * digits + 6)
    step *= 2;
  for (int column = 0; column < grid.columns; column += step) {
    svg.text({grid.box(0, column).x + grid.cell_width / 2, grid.bottom() + 16},
             std::to_string(column * grid.experts_of_cell), "middle");
  }
  svg.text({(kLeft + grid.right()) / 2, grid.bottom() + 34}, "expert", "middle");
  svg.vertical_text({10, (kTop + grid.bottom()) / 2}, "layer");
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
  for (const double tick : round_ticks(scale.low, scale.high, false, height < 90 ? 3 : 6)) {
    svg.line({x + 14, at(tick)}, {x + 18, at(tick)}, "axis");
    svg.text({x + 21, at(tick) + 4}, fmt::format("{:.3g}", 100 * tick) + " %");
  }
  if (std::isfinite(scale.reference) && scale.reference <= scale.high) {
    svg.line({x - 4, at(scale.reference)}, {x + 14, at(scale.reference)}, "edit");
  }
}

const char* symbol_of(const CellMark& mark) {
  switch (mark.symbol) {
    case 'x':
      return "×";
    case '>':
      return "→";
    case '-':
      return "−";
    case '+':
      return "+";
    default:
      return "!";
  }
}

void draw_marks(Svg& svg, const Grid& grid, const LoadResult& load, const std::vector<CellMark>& marks) {
  std::map<int, int> row_of;  // by layer
  for (std::size_t row = 0; row < load.layers.size(); ++row)
    row_of[load.layers[row].layer] = static_cast<int>(row) / grid.layers_of_cell;
  std::set<std::pair<int, int>> drawn;
  for (const CellMark& mark : marks) {
    const int column = mark.expert / grid.experts_of_cell;
    if (row_of.count(mark.layer) == 0 || column >= grid.columns) continue;
    const int row = row_of[mark.layer];
    if (!drawn.insert({row, column}).second) continue;
    const Box box = grid.box(row, column);
    const Box frame{box.x + 0.8, box.y + 0.8, std::max(0.4, box.width - 1.6),
                    std::max(0.4, box.height - 1.6)};
    svg.rect(frame, "mark-edge");
    svg.rect(frame, "mark", mark.text);
    if (grid.cell_width < 12 || grid.cell_height < 11) continue;
    svg.text({box.x + box.width / 2, box.y + box.height / 2 + 5}, symbol_of(mark), "middle", "symbol");
  }
}

std::string cell_title(const LayerLoad& load, std::size_t expert) {
  return fmt::format("layer {}, expert {}: {} of the slots ({}), weight sum {}", load.layer, expert,
                     percent(load.share[expert]), grouped(load.count[expert]),
                     number(load.weight_sum[expert]));
}

// What a cell of a binned map says before it names its largest.
std::string bin_title(const LoadResult& load, const Grid& grid, int row, int column) {
  if (!grid.binned()) return {};
  const auto first = static_cast<std::size_t>(row * grid.layers_of_cell);
  const std::size_t last =
      std::min(load.layers.size(), first + static_cast<std::size_t>(grid.layers_of_cell)) - 1;
  const int expert = column * grid.experts_of_cell;
  return fmt::format("largest of layers {} to {}, experts {} to {}: ", load.layers[first].layer,
                     load.layers[last].layer, expert,
                     std::min(experts_of(load), expert + grid.experts_of_cell) - 1);
}

}  // namespace

std::string map_note(const LoadResult& load) {
  const Grid grid = grid_for(load);
  if (!grid.binned()) return {};
  const auto several = [](int count, const char* what) {
    return count > 1 ? fmt::format("{} {}", count, what) : std::string();
  };
  const std::string layers = several(grid.layers_of_cell, "layers");
  const std::string experts = several(grid.experts_of_cell, "experts");
  return fmt::format(" A cell shows the largest of {}{}{}.", layers,
                     layers.empty() || experts.empty() ? "" : " and ", experts);
}

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
  scale.reference = 1.0 / experts_of(load);
  const auto share = [&](std::size_t row, std::size_t expert) { return load.layers[row].share[expert]; };
  Svg svg(grid.right() + kLegend, grid.bottom() + 42, "Load heatmap: share of each layer's slots per expert");
  for (int row = 0; row < grid.rows; ++row) {
    for (int column = 0; column < grid.columns; ++column) {
      const Box box = grid.box(row, column);
      const Peak peak = peak_of(load, grid, row, column, share);
      const LayerLoad& layer = load.layers[peak.row];
      const std::string title = bin_title(load, grid, row, column);
      if (layer.count[peak.expert] == 0) {
        svg.rect(box, "dead",
                 title + fmt::format("layer {}, expert {}: never used", layer.layer, peak.expert));
      } else {
        svg.cell(box, scale.colour(peak.value), title + cell_title(layer, peak.expert));
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
    for (int column = 0; column < grid.columns; ++column) {
      const Peak peak = peak_of(after, grid, row, column, change);
      svg.cell(grid.box(row, column), scale.colour(peak.value),
               bin_title(after, grid, row, column) +
                   fmt::format("layer {}, expert {}: {} before, {} after", after.layers[peak.row].layer,
                               peak.expert, percent(before.layers[peak.row].share[peak.expert]),
                               percent(after.layers[peak.row].share[peak.expert])));
    }
  }
  draw_axes(svg, grid, after);
  draw_legend(svg, grid, scale);
  draw_marks(svg, grid, after, marks);
  return svg.finish();
}

}  // namespace expertscope::report
