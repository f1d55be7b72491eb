// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QPointF>
#include <QRectF>
#include <optional>

#include "views/models/selection.h"

namespace expertscope {

/// Maps pixels to cells and back: `view` is the visible part of the grid, in columns and rows of cells (x:
/// experts, y: layers), and fills `plot`, in pixels. A column for the shared experts stands to the left of
/// the others, set apart, and wide enough to be seen beside hundreds of them. Plain values, no widget.
class HeatmapGeometry {
 public:
  /// Keeps the view when the grid has not changed.
  void set_grid(int layers, int experts, bool shared = false);
  /// The room there is; the plot has whole device pixels a cell at its upper left, where a cell has one.
  void set_plot(const QRectF& room, double device_pixels = 1);

  double device_pixels() const { return device_pixels_; }
  int layers() const { return layers_; }
  int experts() const { return experts_; }
  bool has_shared() const { return shared_ > 0; }
  int shared_columns() const { return shared_; }
  /// Column of expert 0: what the shared one and the gap behind it take.
  int first_column() const { return shared_ + gap_; }
  const QRectF& plot() const { return plot_; }
  const QRectF& view() const { return view_; }
  bool is_fit() const;

  /// The cell under a pixel; none outside the plot.
  std::optional<Cell> cell_at(const QPointF& pixel) const;
  /// Where a cell is drawn, in pixels; may lie partly or wholly outside the plot.
  QRectF rect_of(Cell cell) const;
  double cell_width() const { return view_.width() > 0 ? plot_.width() / view_.width() : 0; }
  double cell_height() const { return view_.height() > 0 ? plot_.height() / view_.height() : 0; }

  /// Shows everything.
  void fit();
  /// Zooms by `factor` (> 1: closer) with the point under `pixel` staying where it is.
  void zoom(double factor, const QPointF& pixel);
  /// Moves the content by a distance in pixels.
  void pan(const QPointF& pixels);
  /// Shows just the cells between two pixels (a rectangle dragged with the mouse).
  void zoom_to(const QRectF& pixels);
  /// Scrolls as little as needed to show the cell.
  void ensure_visible(Cell cell);

 private:
  void clamp();
  void fit_plot();
  double snap(double pixels) const;
  int columns() const { return first_column() + experts_; }

  int layers_ = 0;
  int experts_ = 0;
  int shared_ = 0;  ///< columns of the shared experts
  int gap_ = 0;     ///< and between them and the others
  QRectF room_;
  double device_pixels_ = 1;  ///< a logical pixel has
  QRectF plot_;
  QRectF view_;
};

}  // namespace expertscope
