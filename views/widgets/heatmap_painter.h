// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QImage>
#include <QPainter>
#include <QPalette>
#include <QRectF>
#include <memory>
#include <optional>
#include <vector>

#include "views/models/edit_marks.h"
#include "views/models/heatmap_data.h"
#include "views/models/heatmap_geometry.h"

namespace expertscope {

/// Everything a picture of the routing map depends on.
struct HeatmapScene {
  std::shared_ptr<const HeatmapData> data;  ///< null: nothing to show
  EditMarks marks;
  Cell selected;
  std::optional<Cell> hovered;
  std::optional<Cell> reroute_source;  ///< a target is being picked on the map
  std::vector<Cell> token_cells;       ///< experts the selected token ran
  std::vector<Cell> super_cells;       ///< super experts, marked on the map of maxima
  bool logarithmic = false;
};

/// Paints a scene, on screen and into exported pictures.
class HeatmapPainter {
 public:
  HeatmapPainter(const HeatmapScene& scene, const HeatmapGeometry& geometry, const QPalette& palette,
                 const QFont& font);

  /// Room around the plot for axes and legend.
  static QMarginsF margins(const QFont& font);

  void paint(QPainter& painter, const QRectF& area) const;

 private:
  void paint_cells(QPainter& painter) const;
  void paint_cell(QPainter& painter, Cell cell, const ColourScale& scale) const;
  void paint_image(QPainter& painter, const ColourScale& scale) const;
  void paint_unmeasured(QPainter& painter, const QRectF& rect) const;
  void paint_dense_layers(QPainter& painter) const;
  void paint_marks(QPainter& painter) const;
  void paint_super_cells(QPainter& painter) const;
  void paint_token_cells(QPainter& painter) const;
  void paint_outline(QPainter& painter, Cell cell, const QColor& colour, double width) const;
  void paint_layer_axis(QPainter& painter) const;
  void paint_expert_axis(QPainter& painter) const;
  void paint_shared_label(QPainter& painter, double top) const;
  void paint_legend(QPainter& painter, const QRectF& area) const;
  void paint_legend_bar(QPainter& painter, const QRectF& bar) const;
  /// fn(cell) for every cell in sight, dense layers' too.
  template <class Fn>
  void for_visible_cells(Fn&& fn) const;

  const HeatmapScene& scene_;
  const HeatmapGeometry& geometry_;
  const QPalette& palette_;
  QFont font_;
};

}  // namespace expertscope
