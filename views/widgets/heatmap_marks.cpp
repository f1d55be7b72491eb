// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/heatmap_marks.h"

#include <QCoreApplication>
#include <QPainterPath>
#include <QPen>
#include <algorithm>
#include <cmath>

namespace expertscope {
namespace {

constexpr double kSmallestRing = 4;  // pixels inside of it: 9 across with its lines and more

QString tr(const char* text) {
  return QCoreApplication::translate("HeatmapMarks", text);
}

void add_line(QPainterPath& path, const QPointF& from, const QPointF& to) {
  path.moveTo(from);
  path.lineTo(to);
}

void add_cross(QPainterPath& path, const QRectF& box) {
  add_line(path, box.topLeft(), box.bottomRight());
  add_line(path, box.topRight(), box.bottomLeft());
}

/// The lines of a glyph; the filled ones are outlines.
QPainterPath shape_of(Glyph glyph, const QRectF& box) {
  QPainterPath path;
  const QPointF centre = box.center();
  const QPointF left(box.left(), centre.y());
  const QPointF right(box.right(), centre.y());
  switch (glyph) {
    case Glyph::super:
      path.addPolygon(
          QPolygonF(QList<QPointF>{{centre.x(), box.top()}, box.bottomRight(), box.bottomLeft()}));
      path.closeSubpath();
      break;
    case Glyph::mask:
    case Glyph::drop:
      add_cross(path, box.adjusted(1, 1, -1, -1));
      break;
    case Glyph::zero:
      path.addEllipse(box);
      add_line(path, box.topRight(), box.bottomLeft());
      break;
    case Glyph::reroute:
      add_line(path, left, right);
      add_line(path, right - QPointF(box.width() * 0.4, box.height() * 0.35), right);
      add_line(path, right - QPointF(box.width() * 0.4, -box.height() * 0.35), right);
      break;
    case Glyph::boost:
      add_line(path, {centre.x(), box.top()}, {centre.x(), box.bottom()});
      [[fallthrough]];
    case Glyph::suppress:
      add_line(path, left, right);
      break;
    case Glyph::force:
      path.addPolygon(
          QPolygonF(QList<QPointF>{{centre.x(), box.top()}, right, {centre.x(), box.bottom()}, left}));
      path.closeSubpath();
      break;
  }
  return path;
}

bool is_filled(Glyph glyph) {
  return glyph == Glyph::super || glyph == Glyph::force;
}

}  // namespace

QString glyph_name(Glyph glyph) {
  switch (glyph) {
    case Glyph::super:
      return tr("super expert");
    case Glyph::mask:
      return tr("prune");
    case Glyph::zero:
      return tr("prune, zero");
    case Glyph::drop:
      return tr("prune, drop");
    case Glyph::reroute:
      return tr("reroute");
    case Glyph::boost:
      return tr("boost");
    case Glyph::suppress:
      return tr("suppress");
    case Glyph::force:
      return tr("force");
  }
  return {};
}

std::vector<Glyph> glyphs_of(const CellMarks& marks) {
  std::vector<Glyph> glyphs;
  if (marks.prune) {
    glyphs.push_back(*marks.prune == PruneMode::mask   ? Glyph::mask
                     : *marks.prune == PruneMode::zero ? Glyph::zero
                                                       : Glyph::drop);
  }
  if (marks.reroute_to >= 0) glyphs.push_back(Glyph::reroute);
  if (marks.bias != 0) glyphs.push_back(marks.bias > 0 ? Glyph::boost : Glyph::suppress);
  if (marks.force) glyphs.push_back(Glyph::force);
  return glyphs;
}

void paint_glyph(QPainter& painter, Glyph glyph, const QRectF& box, const QColor& ink, bool halo) {
  const QPainterPath path = shape_of(glyph, box);
  const double width = std::clamp(box.width() / 6, 1.5, 2.4);
  painter.save();
  painter.setRenderHint(QPainter::Antialiasing);
  if (halo) {
    painter.setPen(QPen(Qt::black, width + 2, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
    painter.drawPath(path);
  }
  if (is_filled(glyph)) {
    painter.fillPath(path, ink);
  } else {
    QPen pen(ink, width, Qt::SolidLine, Qt::FlatCap);
    if (glyph == Glyph::drop) pen.setDashPattern({1.2, 1});
    painter.setPen(pen);
    painter.setBrush(Qt::NoBrush);
    painter.drawPath(path);
  }
  painter.restore();
}

void paint_ring(QPainter& painter, const QRectF& cell, const QColor& ink) {
  const double wider = std::max(0.0, kSmallestRing - cell.width()) / 2;
  const double higher = std::max(0.0, kSmallestRing - cell.height()) / 2;
  const QRectF ring = cell.adjusted(-wider - 2, -higher - 2, wider + 2, higher + 2);
  painter.save();
  painter.setBrush(Qt::NoBrush);
  painter.setPen(QPen(Qt::black, 4, Qt::SolidLine, Qt::SquareCap, Qt::MiterJoin));
  painter.drawRect(ring);
  painter.setPen(QPen(ink, 2, Qt::SolidLine, Qt::SquareCap, Qt::MiterJoin));
  painter.drawRect(ring);
  painter.restore();
}

void paint_reroute_arrow(QPainter& painter, const QRectF& from, const QRectF& to) {
  const bool rightwards = to.center().x() > from.center().x();
  const double way = rightwards ? 1 : -1;
  const QPointF start(rightwards ? from.right() + 2 : from.left() - 2, from.center().y());
  const QPointF end(rightwards ? to.left() : to.right(), to.center().y());
  if ((end.x() - start.x()) * way < 2) return;
  const double head = std::clamp(from.height() * 0.4, 4.0, 8.0);
  QPainterPath path(start);
  path.lineTo(end);
  add_line(path, end - QPointF(way * head, head * 0.7), end);
  add_line(path, end - QPointF(way * head, -head * 0.7), end);
  painter.save();
  painter.setBrush(Qt::NoBrush);
  painter.setPen(QPen(Qt::black, 4, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
  painter.drawPath(path);
  painter.setPen(QPen(Qt::white, 1.6, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
  painter.drawPath(path);
  painter.restore();
}

}  // namespace expertscope
