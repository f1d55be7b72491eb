// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/heatmap_marks.h"

#include <QPainterPath>
#include <QPen>
#include <algorithm>
#include <cmath>

#include "views/models/colour_map.h"

namespace expertscope {
namespace {

const QColor kHalo(0, 0, 0, 210);
const QColor kInk(Qt::white);

/// Strokes a path light on dark: readable on every colour of the map.
void stroke(QPainter& painter, const QPainterPath& path, double width, const QColor& ink,
            Qt::PenStyle style = Qt::SolidLine) {
  painter.setBrush(Qt::NoBrush);
  painter.setPen(QPen(kHalo, width + 2.2, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
  painter.drawPath(path);
  QPen pen(ink, width, style, Qt::RoundCap, Qt::RoundJoin);
  if (style == Qt::CustomDashLine || style == Qt::DashLine) pen.setDashPattern({1.6, 2.2});
  painter.setPen(pen);
  painter.drawPath(path);
}

QPainterPath cross(const QRectF& box) {
  QPainterPath path;
  path.moveTo(box.topLeft());
  path.lineTo(box.bottomRight());
  path.moveTo(box.topRight());
  path.lineTo(box.bottomLeft());
  return path;
}

void paint_prune(QPainter& painter, const QRectF& box, PruneMode mode, double width) {
  switch (mode) {
    case PruneMode::mask:
      stroke(painter, cross(box), width, kInk);
      return;
    case PruneMode::drop:
      stroke(painter, cross(box), width, kInk, Qt::DashLine);
      return;
    case PruneMode::zero: {
      QPainterPath path;
      path.addEllipse(box);
      path.moveTo(box.topRight());
      path.lineTo(box.bottomLeft());
      stroke(painter, path, width, kInk);
      return;
    }
  }
}

void paint_bias(QPainter& painter, const QRectF& box, bool boost, double width) {
  QPainterPath path;
  path.moveTo(box.left(), box.center().y());
  path.lineTo(box.right(), box.center().y());
  if (boost) {
    path.moveTo(box.center().x(), box.top());
    path.lineTo(box.center().x(), box.bottom());
  }
  stroke(painter, path, width, kInk);
}

void paint_lock(QPainter& painter, const QRectF& box, double width) {
  QPainterPath path;
  const QRectF body(box.left(), box.center().y(), box.width(), box.height() / 2);
  path.addRect(body);
  const QRectF bow(box.left() + box.width() * 0.2, box.top(), box.width() * 0.6, box.height());
  path.moveTo(bow.left(), body.top());
  path.arcTo(bow, 180, -180);
  stroke(painter, path, width, kInk);
}

QRectF centred(const QPointF& centre, double size) {
  return {centre.x() - size / 2, centre.y() - size / 2, size, size};
}

}  // namespace

void paint_cell_marks(QPainter& painter, const QRectF& rect, const CellMarks& marks) {
  const double smaller = std::min(rect.width(), rect.height());
  const double width = std::clamp(smaller / 14, 1.0, 2.4);
  if (marks.prune) {
    painter.fillRect(rect, QColor(0, 0, 0, 90));
    const double size = std::clamp(smaller * 0.6, 3.0, 26.0);
    paint_prune(painter, centred(rect.center(), size), *marks.prune, width);
  }
  const double corner = std::clamp(smaller * 0.3, 3.0, 12.0);
  if (marks.bias != 0) {
    const QPointF at(rect.right() - corner * 0.9, rect.top() + corner * 0.9);
    paint_bias(painter, centred(at, corner), marks.bias > 0, width);
  }
  if (marks.force) {
    const QPointF at(rect.left() + corner * 0.9, rect.top() + corner * 0.9);
    paint_lock(painter, centred(at, corner), width * 0.8);
  }
}

void paint_reroute_arrow(QPainter& painter, const QRectF& from, const QRectF& to) {
  const QPointF start = from.center();
  const QPointF end = to.center();
  const double distance = std::abs(end.x() - start.x());
  if (distance < 1) return;
  const double width = std::clamp(from.height() / 14, 1.2, 2.4);
  const double bend = std::clamp(from.height() * 0.42, 3.0, 26.0);
  const QPointF top((start.x() + end.x()) / 2, start.y() - 2 * bend);
  QPainterPath path(start);
  path.quadTo(top, end);
  // The head follows the curve's direction at its end.
  const QPointF direction = end - top;
  const double length = std::hypot(direction.x(), direction.y());
  const QPointF unit = direction / std::max(length, 1e-6);
  const double head = std::clamp(from.height() * 0.28, 4.0, 10.0);
  const QPointF side(-unit.y(), unit.x());
  path.moveTo(end - unit * head + side * head * 0.6);
  path.lineTo(end);
  path.lineTo(end - unit * head - side * head * 0.6);
  const QColor ink = category_colour(0);
  stroke(painter, path, width, ink);
  painter.setPen(QPen(kHalo, 1));
  painter.setBrush(ink);
  painter.drawEllipse(start, width * 1.6, width * 1.6);
}

}  // namespace expertscope
