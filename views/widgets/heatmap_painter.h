// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFont>
#include <QPainter>
#include <QPalette>
#include <QRectF>
#include <memory>
#include <optional>
#include <vector>

#include "views/models/edit_marks.h"
#include "views/models/heatmap_data.h"
#include "views/models/heatmap_geometry.h"
#include "views/widgets/heatmap_marks.h"

namespace expertscope {

/// Everything a picture of the routing map depends on.
struct HeatmapScene {
  std::shared_ptr<const HeatmapData> data;  ///< null: nothing to show
  EditMarks marks;
  Cell selected;
  std::optional<Cell> hovered;
  std::optional<Cell> reroute_source;  ///< a target is being picked on the map
  std::vector<Cell> token_cells;       ///< experts the selected token ran
  std::vector<Cell> super_cells;       ///< super experts
  bool logarithmic = false;
};

/// What is marked of one cell, for the margin: a label with a leader.
struct CellLabel {
  Cell cell;
  std::vector<Glyph> glyphs;
  QString text;   ///< "E92", "E17→44"
  int cells = 1;  ///< that it stands for
};

/// One label a marked cell, by layer and expert. Over `most` of them one a kind and layer, with their number.
std::vector<CellLabel> margin_labels(const HeatmapScene& scene, std::size_t most = 40);
/// Moves heights apart to `distance`, in their order and within [top, bottom] as far as there is room.
std::vector<double> pushed_apart(std::vector<double> heights, double distance, double top, double bottom);

/// A label at `place`; its leader begins at `height`, the middle of its row.
struct PlacedLabel {
  CellLabel label;
  double height = 0;
  double place = 0;
};
/// The labels of the rows in sight, moved apart. Where that would take one far from its row, a layer has one
/// for all of its cells ("E3 +2"), which names the selected cell where it is one of them.
std::vector<PlacedLabel> place_labels(const std::vector<CellLabel>& labels, const HeatmapGeometry& geometry,
                                      Cell selected);

/// Paints a scene, on screen and into exported pictures: the map, the difference of two runs, any size.
/// Marks lie outside their cells, whose values stay to be seen.
class HeatmapPainter {
 public:
  HeatmapPainter(const HeatmapScene& scene, const HeatmapGeometry& geometry, const QPalette& palette,
                 const QFont& font);

  /// Room around the plot for axes, labels and legend.
  static QMarginsF margins(const QFont& font);

  void paint(QPainter& painter, const QRectF& area) const;

 private:
  // heatmap_painter.cpp: what is inside the plot, and the axes
  void paint_cells(QPainter& painter) const;
  void paint_cell(QPainter& painter, Cell cell, const ColourScale& scale) const;
  void paint_image(QPainter& painter, const ColourScale& scale) const;
  QRgb cell_colour(Cell cell, const ColourScale& scale) const;
  void paint_unused(QPainter& painter, const QRectF& rect) const;
  void paint_unmeasured(QPainter& painter, const QRectF& rect) const;
  void paint_dense_layers(QPainter& painter) const;
  void paint_marks(QPainter& painter) const;
  void paint_arrows(QPainter& painter) const;
  void paint_super_cells(QPainter& painter) const;
  void paint_token_cells(QPainter& painter) const;
  void paint_selection(QPainter& painter) const;
  void paint_layer_axis(QPainter& painter) const;
  void paint_expert_axis(QPainter& painter) const;
  void paint_shared_label(QPainter& painter) const;
  /// Experts that one column of the picture stands for.
  int experts_a_column() const;
  bool is_in_sight(Cell cell) const;

  // heatmap_margin.cpp: what stands beside and below it
  void paint_ticks(QPainter& painter, const std::vector<CellLabel>& labels) const;
  void paint_labels(QPainter& painter, const std::vector<CellLabel>& labels, const QRectF& area) const;
  void paint_legend(QPainter& painter, const std::vector<CellLabel>& labels, const QRectF& area) const;
  double paint_scale(QPainter& painter, double left, double top) const;
  void paint_pointer(QPainter& painter, const QRectF& bar, const ColourScale& scale) const;
  double paint_swatches(QPainter& painter, double left, double top, double right) const;
  void paint_kinds(QPainter& painter, const std::vector<CellLabel>& labels, double left, double right) const;
  QColor ink_of(Glyph glyph) const;

  /// fn(cell) for every cell in sight, dense layers' too.
  template <class Fn>
  void for_visible_cells(Fn&& fn) const;

  const HeatmapScene& scene_;
  const HeatmapGeometry& geometry_;
  const QPalette& palette_;
  QFont font_;  ///< of axes, labels and legend
};

}  // namespace expertscope
