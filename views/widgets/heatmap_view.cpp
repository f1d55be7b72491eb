// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/heatmap_view.h"

#include <QAccessible>
#include <QApplication>
#include <QBuffer>
#include <QHelpEvent>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QStyle>
#include <QSvgGenerator>
#include <QToolTip>
#include <algorithm>
#include <cmath>

namespace expertscope {
namespace {

constexpr double kZoomStep = 1.25;
constexpr double kFileScale = 2;

}  // namespace

HeatmapView::HeatmapView(QWidget* parent) : QWidget(parent) {
  setObjectName(QStringLiteral("routing_map"));
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
  setAutoFillBackground(true);
  setBackgroundRole(QPalette::Base);
  setAccessibleName(tr("Routing map, layers by experts"));
}

void HeatmapView::set_data(std::shared_ptr<const HeatmapData> values) {
  scene_.data = std::move(values);
  if (scene_.data)
    geometry_.set_grid(scene_.data->layers, scene_.data->experts, !scene_.data->shared.empty());
  if (scene_.hovered && (!scene_.data || !scene_.data->contains(*scene_.hovered))) scene_.hovered.reset();
  describe_selected();
  update();
}

void HeatmapView::set_marks(EditMarks marks) {
  scene_.marks = std::move(marks);
  update();
}

void HeatmapView::set_selected(Cell cell) {
  if (scene_.selected == cell) return;
  scene_.selected = cell;
  if (scene_.data && scene_.data->contains(cell)) geometry_.ensure_visible(cell);
  describe_selected();
  update();
}

void HeatmapView::set_token_cells(std::vector<Cell> cells) {
  if (cells == scene_.token_cells) return;
  scene_.token_cells = std::move(cells);
  update();
}

void HeatmapView::set_super_cells(std::vector<Cell> cells) {
  if (cells == scene_.super_cells) return;
  scene_.super_cells = std::move(cells);
  update();
}

void HeatmapView::set_logarithmic(bool logarithmic) {
  scene_.logarithmic = logarithmic;
  update();
}

void HeatmapView::set_hint(const QString& hint) {
  hint_ = hint;
  update();
}

void HeatmapView::pick_reroute_target(Cell source) {
  if (!is_expert(source) || source.is_shared()) return;
  scene_.reroute_source = source;
  setCursor(Qt::CrossCursor);
  setFocus();
  update();
}

void HeatmapView::end_pick() {
  if (!is_picking()) return;
  scene_.reroute_source.reset();
  unsetCursor();
  update();
  Q_EMIT pick_ended();
}

void HeatmapView::zoom_in() {
  geometry_.zoom(kZoomStep, geometry_.plot().center());
  update();
}

void HeatmapView::zoom_out() {
  geometry_.zoom(1 / kZoomStep, geometry_.plot().center());
  update();
}

void HeatmapView::fit() {
  geometry_.fit();
  update();
}

void HeatmapView::set_figure(EditMarks marks, const QString& caption) {
  figure_marks_ = std::move(marks);
  caption_ = caption;
}

QSize HeatmapView::figure_size() const {
  return size() + QSize(0, fontMetrics().height() + 12);
}

void HeatmapView::paint_figure(QPainter& painter) const {
  const QRect area(QPoint(0, 0), figure_size());
  painter.fillRect(area, palette().color(QPalette::Base));
  painter.setPen(palette().color(QPalette::Text));
  painter.setFont(font());
  painter.drawText(area.adjusted(12, 8, -12, 0), Qt::AlignLeft | Qt::AlignTop, caption_);
  painter.translate(0, area.height() - height());
  HeatmapScene scene = scene_;
  scene.marks = figure_marks_;
  scene.selected = {};
  scene.hovered.reset();
  scene.reroute_source.reset();
  scene.token_cells.clear();
  if (scene.data && !scene.data->empty())
    HeatmapPainter(scene, geometry_, palette(), font()).paint(painter, rect());
}

QImage HeatmapView::figure(double scale) const {
  QImage image(figure_size() * scale, QImage::Format_ARGB32);
  image.setDevicePixelRatio(scale);
  QPainter painter(&image);
  paint_figure(painter);
  return image;
}

QByteArray HeatmapView::figure_svg() const {
  QBuffer buffer;
  QSvgGenerator generator;
  generator.setOutputDevice(&buffer);
  generator.setSize(figure_size());
  generator.setViewBox(QRect(QPoint(0, 0), figure_size()));
  generator.setTitle(caption_);
  QPainter painter(&generator);
  paint_figure(painter);
  painter.end();
  return buffer.data();
}

QByteArray HeatmapView::figure_file(const QString& suffix) const {
  if (suffix == QLatin1String("svg")) return figure_svg();
  QBuffer buffer;
  figure(kFileScale).save(&buffer, "PNG");
  return buffer.data();
}

void HeatmapView::lay_out() {
  geometry_.set_plot(QRectF(rect()).marginsRemoved(HeatmapPainter::margins(font())), devicePixelRatioF());
}

void HeatmapView::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  lay_out();
}

void HeatmapView::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::FontChange) lay_out();
}

void HeatmapView::paint_hint(QPainter& painter, const QString& hint, const QRectF& plot,
                             Qt::Alignment where) const {
  const QRectF text =
      fontMetrics().boundingRect(plot.adjusted(20, 20, -20, -20).toRect(), where | Qt::TextWordWrap, hint);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(Qt::NoPen);
  painter.setBrush(palette().color(QPalette::Base));
  painter.drawRoundedRect(text.adjusted(-14, -8, 14, 8), 6, 6);
  painter.setPen(palette().color(QPalette::Text));
  painter.drawText(text, where | Qt::TextWordWrap, hint);
}

void HeatmapView::paintEvent(QPaintEvent*) {
  if (!qFuzzyCompare(geometry_.device_pixels(), devicePixelRatioF())) lay_out();  // on another screen now
  QPainter painter(this);
  if (scene_.data && !scene_.data->empty())
    HeatmapPainter(scene_, geometry_, palette(), font()).paint(painter, rect());
  if (drag_ == Drag::rectangle) {
    QColor fill = palette().color(QPalette::Link);
    painter.setPen(fill);
    fill.setAlphaF(0.25f);
    painter.setBrush(fill);
    painter.drawRect(QRectF(drag_start_, drag_last_).normalized().intersected(geometry_.plot()));
  }
  const bool blank = !scene_.data || !scene_.data->has_values();
  const QRectF plot = scene_.data ? geometry_.plot() : QRectF(rect());
  if (is_picking()) {
    const Cell source = *scene_.reroute_source;
    paint_hint(painter,
               tr("Click the expert in layer %1 that runs instead of expert %2; Esc cancels.")
                   .arg(source.layer)
                   .arg(source.expert),
               plot,
               Qt::AlignHCenter | (source.layer * 2 < scene_.data->layers ? Qt::AlignBottom : Qt::AlignTop));
  } else if (blank && !hint_.isEmpty()) {
    paint_hint(painter, hint_, plot, Qt::AlignCenter);
  }
  if (hasFocus()) {
    painter.setBrush(Qt::NoBrush);
    painter.setPen(palette().color(QPalette::Link));
    painter.drawRect(rect().adjusted(0, 0, -1, -1));
  }
}

bool HeatmapView::event(QEvent* event) {
  if (event->type() != QEvent::ToolTip) return QWidget::event(event);
  const auto* help = static_cast<QHelpEvent*>(event);
  const auto cell = geometry_.cell_at(help->pos());
  if (cell && tooltip_ && scene_.data) {
    QToolTip::showText(help->globalPos(), tooltip_(*cell), this, geometry_.rect_of(*cell).toAlignedRect());
  } else {
    QToolTip::hideText();
  }
  return true;
}

void HeatmapView::wheelEvent(QWheelEvent* event) {
  const QPoint turn = event->angleDelta();
  if (event->modifiers() & Qt::ControlModifier) {
    geometry_.zoom(std::pow(kZoomStep, turn.y() / 120.0), event->position());
  } else if (event->modifiers() & Qt::ShiftModifier) {
    geometry_.pan(QPointF(turn.y() + turn.x(), 0) / 2);
  } else {
    geometry_.pan(QPointF(turn) / 2);
  }
  event->accept();
  update();
}

void HeatmapView::mousePressEvent(QMouseEvent* event) {
  drag_start_ = drag_last_ = event->position();
  if (event->button() == Qt::MiddleButton) {
    drag_ = Drag::pan;
    setCursor(Qt::ClosedHandCursor);
  } else if (event->button() == Qt::LeftButton) {
    drag_ = event->modifiers() & Qt::ShiftModifier ? Drag::pan : Drag::pressed;
  } else if (event->button() == Qt::RightButton) {
    if (const auto cell = geometry_.cell_at(event->position()); cell && !is_picking()) click(*cell);
  }
}

void HeatmapView::mouseMoveEvent(QMouseEvent* event) {
  const QPointF at = event->position();
  if (drag_ == Drag::pressed && !is_picking() &&
      (at - drag_start_).manhattanLength() > 2 * QApplication::startDragDistance()) {
    drag_ = Drag::rectangle;
  }
  if (drag_ == Drag::pan) geometry_.pan(at - drag_last_);
  drag_last_ = at;
  if (drag_ == Drag::none) {
    set_hovered(geometry_.cell_at(at));
  } else {
    update();
  }
}

void HeatmapView::mouseReleaseEvent(QMouseEvent* event) {
  const Drag drag = drag_;
  drag_ = Drag::none;
  if (!is_picking()) unsetCursor();
  if (drag == Drag::rectangle) {
    geometry_.zoom_to(QRectF(drag_start_, event->position()));
  } else if (drag == Drag::pressed) {
    if (const auto cell = geometry_.cell_at(event->position())) click(*cell);
  }
  update();
}

void HeatmapView::mouseDoubleClickEvent(QMouseEvent* event) {
  if (event->button() == Qt::LeftButton) fit();
}

void HeatmapView::leaveEvent(QEvent*) {
  set_hovered(std::nullopt);
}

void HeatmapView::focusOutEvent(QFocusEvent* event) {
  QWidget::focusOutEvent(event);
  // Another window in front is no answer; anything else in this one is.
  if (event->reason() != Qt::ActiveWindowFocusReason) end_pick();
}

void HeatmapView::contextMenuEvent(QContextMenuEvent* event) {
  if (is_picking()) {
    end_pick();
    return;
  }
  if (event->reason() == QContextMenuEvent::Mouse) {
    const auto cell = geometry_.cell_at(event->pos());
    if (cell && is_expert(*cell)) Q_EMIT menu_requested(*cell, event->globalPos());
    return;
  }
  // The menu key acts on the selected cell.
  if (!is_expert(scene_.selected)) return;
  const QRectF at = geometry_.rect_of(scene_.selected);
  Q_EMIT menu_requested(scene_.selected, mapToGlobal(at.center().toPoint()));
}

void HeatmapView::keyPressEvent(QKeyEvent* event) {
  if (event->modifiers() & (Qt::ControlModifier | Qt::AltModifier | Qt::MetaModifier)) {
    QWidget::keyPressEvent(event);
    return;
  }
  switch (event->key()) {
    case Qt::Key_Left:
    case Qt::Key_A:
      return step(0, -1);
    case Qt::Key_Right:
    case Qt::Key_D:
      return step(0, 1);
    case Qt::Key_Up:
    case Qt::Key_W:
      return step(-1, 0);
    case Qt::Key_Down:
    case Qt::Key_S:
      return step(1, 0);
    case Qt::Key_Home:
      return fit();
    case Qt::Key_Return:
    case Qt::Key_Enter:
      if (is_picking()) {
        click(scene_.selected);
      } else if (is_expert(scene_.selected)) {
        Q_EMIT cell_opened(scene_.selected);
      }
      return;
    case Qt::Key_Escape:
      return step_back();
    default:
      break;
  }
  QWidget::keyPressEvent(event);
}

void HeatmapView::step(int layers, int experts) {
  if (!scene_.data || scene_.data->empty()) return;
  Cell cell = scene_.selected;
  if (!scene_.data->contains(cell)) {
    cell = {0, 0};
  } else {
    cell.layer += layers;
    cell.expert += experts;
  }
  // A dense layer has no cells: go on in the same direction.
  while (layers != 0 && cell.layer >= 0 && cell.layer < scene_.data->layers &&
         !scene_.data->is_moe(cell.layer)) {
    cell.layer += layers;
  }
  if (scene_.data->contains(cell)) Q_EMIT cell_selected(cell);
}

void HeatmapView::step_back() {
  if (is_picking()) {
    end_pick();
  } else if (!geometry_.is_fit()) {
    fit();
  } else if (scene_.selected.valid()) {
    Q_EMIT cell_selected({});
  }
}

bool HeatmapView::is_expert(Cell cell) const {
  return scene_.data && scene_.data->contains(cell) && scene_.data->is_moe(cell.layer);
}

void HeatmapView::click(Cell cell) {
  if (!is_expert(cell)) return;
  if (!is_picking()) {
    Q_EMIT cell_selected(cell);
    return;
  }
  const Cell source = *scene_.reroute_source;
  if (cell.layer != source.layer || cell.expert == source.expert || cell.is_shared()) return;
  end_pick();
  Q_EMIT reroute_picked(source, cell.expert);
}

void HeatmapView::set_hovered(std::optional<Cell> cell) {
  if (cell && !is_expert(*cell)) cell.reset();
  if (cell == scene_.hovered) return;
  scene_.hovered = cell;
  Q_EMIT cell_hovered(cell.value_or(Cell{}));
  update();
}

void HeatmapView::describe_selected() {
  QString text;
  if (scene_.data && scene_.data->contains(scene_.selected)) {
    text = tr("layer %1, %2: %3")
               .arg(QString::number(scene_.selected.layer), expert_name(scene_.selected),
                    scene_.data->text(scene_.selected));
  }
  if (text == accessibleDescription()) return;
  setAccessibleDescription(text);
  QAccessibleEvent changed(this, QAccessible::DescriptionChanged);
  QAccessible::updateAccessibility(&changed);
}

}  // namespace expertscope
