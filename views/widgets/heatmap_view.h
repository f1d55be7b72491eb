// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QByteArray>
#include <QImage>
#include <QWidget>
#include <functional>
#include <optional>

#include "views/models/heatmap_geometry.h"
#include "views/widgets/heatmap_painter.h"

namespace expertscope {

/// The routing map: layers down, experts across. Draws one immutable HeatmapData and reports what the person
/// points at; changes nothing itself.
///
/// Click selects, right click asks for a menu; dragging a rectangle zooms in, double click and Home zoom out,
/// Ctrl+wheel zooms, wheel and middle drag move; arrows and WASD step through the cells.
class HeatmapView final : public QWidget {
  Q_OBJECT
 public:
  explicit HeatmapView(QWidget* parent = nullptr);

  void set_data(std::shared_ptr<const HeatmapData> values);
  void set_marks(EditMarks marks);
  void set_selected(Cell cell);
  /// The experts of the selected token: marked by a dot.
  void set_token_cells(std::vector<Cell> cells);
  /// Super experts: marked by a triangle.
  void set_super_cells(std::vector<Cell> cells);
  void set_logarithmic(bool logarithmic);
  /// Rich text for a cell.
  void set_tooltip(std::function<QString(Cell)> tooltip) { tooltip_ = std::move(tooltip); }
  /// Shown in the middle of a map without values.
  void set_hint(const QString& hint);
  const QString& hint() const { return hint_; }

  /// The next click in the layer of `source` is the target of a reroute; Esc and whatever takes the focus end
  /// it, so that no later click is taken for an answer.
  void pick_reroute_target(Cell source);
  void end_pick();
  bool is_picking() const { return scene_.reroute_source.has_value(); }

  const HeatmapGeometry& geometry_map() const { return geometry_; }
  const HeatmapScene& scene() const { return scene_; }
  void zoom_in();
  void zoom_out();
  void fit();

  /// What a figure says of itself: the edits its run was recorded with, not those made since, and a caption.
  void set_figure(EditMarks marks, const QString& caption);
  /// The map for a document: under its caption, without what only the person at the window points at.
  /// `scale` times as large in pixels as on screen.
  QImage figure(double scale) const;
  QByteArray figure_svg() const;
  /// The figure as a file with this suffix: SVG, else PNG at twice the resolution.
  QByteArray figure_file(const QString& suffix) const;

  QSize sizeHint() const override { return {760, 420}; }
  QSize minimumSizeHint() const override { return {640, 300}; }

 Q_SIGNALS:
  /// None: the selection is to be given up.
  void cell_selected(expertscope::Cell cell);
  /// All about the selected cell is asked for.
  void cell_opened(expertscope::Cell cell);
  void cell_hovered(expertscope::Cell cell);
  /// For the cell of an expert; a right click has selected it before.
  void menu_requested(expertscope::Cell cell, const QPoint& global);
  void reroute_picked(expertscope::Cell source, int target);
  /// Picking ended, with or without a target.
  void pick_ended();

 protected:
  bool event(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void changeEvent(QEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void leaveEvent(QEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void contextMenuEvent(QContextMenuEvent* event) override;

 private:
  enum class Drag : std::uint8_t { none, pressed, rectangle, pan };

  void lay_out();
  void paint_hint(QPainter& painter, const QString& hint, const QRectF& plot, Qt::Alignment where) const;
  QSize figure_size() const;
  void paint_figure(QPainter& painter) const;
  void step(int layers, int experts);
  /// Takes back one thing: picking, zoom, selection.
  void step_back();
  /// False for the cells of a dense layer.
  bool is_expert(Cell cell) const;
  void click(Cell cell);
  void set_hovered(std::optional<Cell> cell);
  void describe_selected();

  HeatmapScene scene_;
  HeatmapGeometry geometry_;
  std::function<QString(Cell)> tooltip_;
  QString hint_;
  EditMarks figure_marks_;
  QString caption_;
  Drag drag_ = Drag::none;
  QPointF drag_start_;
  QPointF drag_last_;
};

}  // namespace expertscope
