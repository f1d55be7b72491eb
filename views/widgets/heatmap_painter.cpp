// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/heatmap_painter.h"

#include <QCoreApplication>
#include <QFontMetricsF>
#include <QImage>
#include <algorithm>
#include <cmath>

#include "views/models/design.h"

namespace expertscope {
namespace {

// Pixels of a cell's smaller side.
constexpr double kSmallestCell = 3;   // below, one column stands for several experts
constexpr double kSmallestDot = 5;    // below, a cell that was never used has no dot
constexpr double kSmallestGrid = 14;  // below, cells touch each other and have no glyphs
constexpr QSizeF kSmallestText(34, 18);

QString tr(const char* text) {
  return QCoreApplication::translate("HeatmapView", text);
}

/// Every how many labels one fits: 1, 2, 4, 8 ...
int label_step(double spacing, double label) {
  int step = 1;
  for (int i = 0; step * spacing < label && i < 16; ++i) {
    step *= 2;
  }
  return step;
}

QColor blend(const QColor& a, const QColor& b, double t) {
  return QColor::fromRgbF(static_cast<float>(a.redF() + (b.redF() - a.redF()) * t),
                          static_cast<float>(a.greenF() + (b.greenF() - a.greenF()) * t),
                          static_cast<float>(a.blueF() + (b.blueF() - a.blueF()) * t));
}

}  // namespace

HeatmapPainter::HeatmapPainter(const HeatmapScene& scene, const HeatmapGeometry& geometry,
                               const QPalette& palette, const QFont& font)
    : scene_(scene), geometry_(geometry), palette_(palette), font_(small_font(font)) {}

QMarginsF HeatmapPainter::margins(const QFont& font) {
  const QFontMetricsF metrics(small_font(font));
  const double line = metrics.height();
  return {metrics.horizontalAdvance(QStringLiteral("000")) + 8, line + 7, 74, 2 * line + 5};
}

void HeatmapPainter::paint(QPainter& painter, const QRectF& area) const {
  painter.setFont(font_);
  painter.setRenderHint(QPainter::Antialiasing, false);
  painter.save();
  painter.setClipRect(geometry_.plot());
  paint_cells(painter);
  paint_dense_layers(painter);
  painter.restore();
  painter.save();
  painter.setRenderHint(QPainter::Antialiasing, true);
  painter.setClipRect(geometry_.plot().adjusted(-8, -10, 8, 8));
  paint_marks(painter);
  paint_arrows(painter);
  paint_super_cells(painter);
  paint_token_cells(painter);
  paint_selection(painter);
  painter.restore();
  paint_layer_axis(painter);
  paint_expert_axis(painter);
  const std::vector<CellLabel> labels = margin_labels(scene_);
  paint_ticks(painter, labels);
  paint_labels(painter, labels, area);
  paint_legend(painter, labels, area);
}

template <class Fn>
void HeatmapPainter::for_visible_cells(Fn&& fn) const {
  const QRectF& view = geometry_.view();
  const int before = geometry_.first_column();
  const int left = std::max(0, static_cast<int>(std::floor(view.left())) - before);
  const int right = std::min(geometry_.experts(), static_cast<int>(std::ceil(view.right())) - before);
  const int bottom = std::min(geometry_.layers(), static_cast<int>(std::ceil(view.bottom())));
  for (int layer = static_cast<int>(std::floor(view.top())); layer < bottom; ++layer) {
    if (view.left() < before && scene_.data->has_shared(layer)) fn(Cell{layer, kSharedExpert});
    for (int expert = left; expert < right; ++expert) {
      fn(Cell{layer, expert});
    }
  }
}

bool HeatmapPainter::is_in_sight(Cell cell) const {
  return scene_.data->contains(cell) && geometry_.plot().intersects(geometry_.rect_of(cell));
}

int HeatmapPainter::experts_a_column() const {
  const double width = geometry_.cell_width();
  return width >= kSmallestCell || width <= 0 ? 1 : static_cast<int>(std::ceil(kSmallestCell / width));
}

void HeatmapPainter::paint_cells(QPainter& painter) const {
  const ColourScale scale = scene_.data->scale(scene_.logarithmic);
  if (std::min(geometry_.cell_width(), geometry_.cell_height()) < kSmallestCell) {
    paint_image(painter, scale);
    return;
  }
  for_visible_cells([&](Cell cell) {
    if (scene_.data->is_moe(cell.layer)) paint_cell(painter, cell, scale);
  });
}

void HeatmapPainter::paint_cell(QPainter& painter, Cell cell, const ColourScale& scale) const {
  QRectF rect = geometry_.rect_of(cell);
  if (std::min(rect.width(), rect.height()) >= kSmallestGrid) rect.adjust(0, 0, -1, -1);
  if (scene_.data->never_used(cell)) {
    paint_unused(painter, rect);
    return;
  }
  const double value = scene_.data->at(cell);
  if (std::isnan(value)) {
    paint_unmeasured(painter, rect);
    return;
  }
  const QRgb colour = cell_colour(cell, scale);
  painter.fillRect(rect, QColor::fromRgb(colour));
  if (rect.width() < kSmallestText.width() || rect.height() < kSmallestText.height()) return;
  painter.setPen(readable_on(colour));
  painter.drawText(rect, Qt::AlignCenter, scene_.data->short_text(value));
}

QRgb HeatmapPainter::cell_colour(Cell cell, const ColourScale& scale) const {
  return scale.colour(scene_.data->at(cell), scene_.data->colour_map(is_dark(palette_)));
}

/// One pixel a column and layer; a column shows the largest of its experts.
void HeatmapPainter::paint_image(QPainter& painter, const ColourScale& scale) const {
  const HeatmapData& data = *scene_.data;
  const int group = experts_a_column();
  const int columns = (geometry_.first_column() + data.experts + group - 1) / group;
  QImage image(columns, data.layers, QImage::Format_RGB32);
  image.fill(palette_.color(QPalette::Base));
  const QRgb nothing = blend(palette_.color(QPalette::Base), palette_.color(QPalette::Text), 0.12).rgb();
  const QRgb unused = design_colours(palette_).unused.rgb();
  for (int layer = 0; layer < data.layers; ++layer) {
    auto* line = reinterpret_cast<QRgb*>(image.scanLine(layer));
    std::vector<double> largest(static_cast<std::size_t>(columns), -1);
    const auto put = [&](Cell cell, int column) {
      const double value = data.at(cell);
      double& before = largest[static_cast<std::size_t>(column / group)];
      const double size = std::isnan(value) || data.never_used(cell) ? -0.5 : std::abs(value);
      if (size <= before) return;
      before = size;
      line[column / group] = data.never_used(cell) ? unused
                             : std::isnan(value)   ? nothing
                                                   : cell_colour(cell, scale);
    };
    for (int column = 0; data.has_shared(layer) && column < geometry_.shared_columns(); ++column) {
      put({layer, kSharedExpert}, column);
    }
    for (int expert = 0; expert < data.experts; ++expert) {
      put({layer, expert}, geometry_.first_column() + expert);
    }
  }
  QRectF view = geometry_.view();
  view.setLeft(view.left() / group);
  view.setRight(view.right() / group);
  painter.drawImage(geometry_.plot(), image, view);
}

void HeatmapPainter::paint_unused(QPainter& painter, const QRectF& rect) const {
  const DesignColours& colours = design_colours(palette_);
  painter.fillRect(rect, colours.unused);
  if (std::min(rect.width(), rect.height()) < kSmallestDot) return;
  const QPointF centre(std::floor(rect.center().x()), std::floor(rect.center().y()));
  painter.fillRect(QRectF(centre, QSizeF(2, 2)), colours.unused_dot);
}

void HeatmapPainter::paint_unmeasured(QPainter& painter, const QRectF& rect) const {
  const QColor base = palette_.color(QPalette::Base);
  painter.fillRect(rect, base);
  painter.fillRect(rect, QBrush(blend(base, palette_.color(QPalette::Text), 0.3), Qt::BDiagPattern));
}

void HeatmapPainter::paint_dense_layers(QPainter& painter) const {
  for (int layer = 0; layer < geometry_.layers(); ++layer) {
    if (scene_.data->is_moe(layer)) continue;
    QRectF rect = geometry_.rect_of({layer, 0});
    rect.setLeft(geometry_.plot().left());
    rect.setRight(geometry_.plot().right());
    painter.fillRect(rect.adjusted(0, 0, 0, -1),
                     blend(palette_.color(QPalette::Base), palette_.color(QPalette::Text), 0.04));
    if (rect.height() < QFontMetricsF(font_).height()) continue;
    painter.setPen(palette_.color(QPalette::PlaceholderText));
    painter.drawText(rect, Qt::AlignCenter, tr("dense layer, no router"));
  }
}

void HeatmapPainter::paint_marks(QPainter& painter) const {
  if (scene_.marks.layers() != geometry_.layers() || scene_.marks.experts() != geometry_.experts()) return;
  for_visible_cells([&](Cell cell) {
    const CellMarks& marks = scene_.marks.at(cell);
    if (!marks.any()) return;
    const QRectF rect = geometry_.rect_of(cell);
    paint_ring(painter, rect, Qt::white);
    const double smaller = std::min(rect.width(), rect.height());
    if (smaller < kSmallestGrid) return;
    // In the corners: the value stays in the middle.
    const double size = std::clamp(smaller * 0.3, 7.0, 12.0);
    QRectF box(rect.left() + 3, rect.bottom() - size - 3, size, size);
    for (const Glyph glyph : glyphs_of(marks)) {
      paint_glyph(painter, glyph, box, Qt::white, true);
      box.translate(size + 4, 0);
    }
  });
}

void HeatmapPainter::paint_arrows(QPainter& painter) const {
  for_visible_cells([&](Cell cell) {
    const int target = scene_.marks.at(cell).reroute_to;
    if (target >= 0)
      paint_reroute_arrow(painter, geometry_.rect_of(cell), geometry_.rect_of({cell.layer, target}));
  });
  const bool target = scene_.hovered && !scene_.hovered->is_shared();
  if (scene_.reroute_source && target && scene_.hovered->layer == scene_.reroute_source->layer) {
    paint_reroute_arrow(painter, geometry_.rect_of(*scene_.reroute_source),
                        geometry_.rect_of(*scene_.hovered));
  }
}

void HeatmapPainter::paint_super_cells(QPainter& painter) const {
  for (const Cell& cell : scene_.super_cells) {
    if (!is_in_sight(cell)) continue;
    const QRectF rect = geometry_.rect_of(cell);
    // It stands on the cell, and a little in it where that is high.
    const QRectF box(rect.center().x() - 5, rect.top() - 7 + std::min(4.0, rect.height() / 8), 10, 9);
    const QPointF triangle[] = {{box.center().x(), box.top()}, box.bottomRight(), box.bottomLeft()};
    painter.setPen(QPen(Qt::black, 1.2, Qt::SolidLine, Qt::SquareCap, Qt::RoundJoin));
    painter.setBrush(QColor(0xffab52));
    painter.drawPolygon(triangle, 3);
  }
}

void HeatmapPainter::paint_token_cells(QPainter& painter) const {
  for (const Cell& cell : scene_.token_cells) {
    if (!is_in_sight(cell)) continue;
    const QRectF rect = geometry_.rect_of(cell);
    const double size = std::clamp(std::min(rect.width(), rect.height()) * 0.3, 2.5, 9.0);
    painter.setPen(QPen(Qt::black, 1.2));
    painter.setBrush(Qt::white);
    painter.drawEllipse(QRectF(rect.left() + size * 0.4, rect.bottom() - size * 1.4, size, size));
  }
}

void HeatmapPainter::paint_selection(QPainter& painter) const {
  if (scene_.hovered && is_in_sight(*scene_.hovered)) {
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(palette_.color(QPalette::Text), 1));
    painter.drawRect(geometry_.rect_of(*scene_.hovered).adjusted(-0.5, -0.5, 0.5, 0.5));
  }
  if (!is_in_sight(scene_.selected)) return;
  QRectF rect = geometry_.rect_of(scene_.selected);
  // Around the ring of an edit, which stays to be seen.
  if (scene_.marks.at(scene_.selected).any()) rect.adjust(-2, -2, 2, 2);
  paint_ring(painter, rect, design_colours(palette_).selection);
}

void HeatmapPainter::paint_layer_axis(QPainter& painter) const {
  const QFontMetricsF metrics(font_);
  const QRectF& plot = geometry_.plot();
  const int step = label_step(geometry_.cell_height(), metrics.height() + 2);
  const int chosen = is_in_sight(scene_.selected) ? scene_.selected.layer : -1;
  QFont bold = font_;
  bold.setBold(true);
  for (int layer = 0; layer < geometry_.layers(); ++layer) {
    const double centre = geometry_.rect_of({layer, 0}).center().y();
    const bool shown = layer == chosen || layer % step == 0;
    if (!shown || centre < plot.top() || centre > plot.bottom()) continue;
    const bool in_the_way = chosen >= 0 && layer != chosen &&
                            std::abs(layer - chosen) * geometry_.cell_height() < metrics.height();
    if (in_the_way) continue;
    painter.setFont(layer == chosen ? bold : font_);
    painter.setPen(palette_.color(layer == chosen ? QPalette::Text : QPalette::PlaceholderText));
    painter.drawText(QRectF(plot.left() - 60, centre - metrics.height() / 2, 55, metrics.height()),
                     Qt::AlignRight | Qt::AlignVCenter, QString::number(layer));
  }
  painter.setFont(font_);
  if (chosen < 0) return;
  const QRectF row = geometry_.rect_of(scene_.selected);
  painter.fillRect(QRectF(plot.left() - 4, row.top(), 3, row.height()), palette_.color(QPalette::Link));
}

void HeatmapPainter::paint_expert_axis(QPainter& painter) const {
  const QFontMetricsF metrics(font_);
  const QRectF& plot = geometry_.plot();
  const double widest = metrics.horizontalAdvance(QString::number(geometry_.experts())) + 8;
  const int step = label_step(geometry_.cell_width(), widest);
  const double top = plot.top() - metrics.height() - 6;
  const bool any = is_in_sight(scene_.selected) && !scene_.selected.is_shared();
  const int chosen = any ? scene_.selected.expert : -1;
  QFont bold = font_;
  bold.setBold(true);
  for (int expert = 0; expert < geometry_.experts(); ++expert) {
    const double centre = geometry_.rect_of({0, expert}).center().x();
    const bool shown = expert == chosen || expert % step == 0;
    if (!shown || centre < plot.left() || centre > plot.right()) continue;
    if (chosen >= 0 && expert != chosen && std::abs(expert - chosen) * geometry_.cell_width() < widest)
      continue;
    painter.setFont(expert == chosen ? bold : font_);
    painter.setPen(palette_.color(expert == chosen ? QPalette::Text : QPalette::PlaceholderText));
    painter.drawText(QRectF(centre - 30, top, 60, metrics.height()), Qt::AlignCenter,
                     QString::number(expert));
  }
  painter.setFont(font_);
  if (geometry_.has_shared()) paint_shared_label(painter);
  if (!is_in_sight(scene_.selected)) return;
  const QRectF column = geometry_.rect_of(scene_.selected);
  painter.fillRect(QRectF(column.left(), plot.top() - 4, column.width(), 3), palette_.color(QPalette::Link));
}

/// Over its column, or, where that is narrower than the word, from the left edge: "0" comes after it.
void HeatmapPainter::paint_shared_label(QPainter& painter) const {
  const QFontMetricsF metrics(font_);
  const QRectF column = geometry_.rect_of({0, kSharedExpert});
  if (column.right() <= geometry_.plot().left()) return;
  const QString label = tr("shared");
  const double wide = metrics.horizontalAdvance(label) + 4;
  const bool fits = column.width() >= wide;
  const QRectF box(fits ? column.left() : column.right() - wide,
                   geometry_.plot().top() - metrics.height() - 6, fits ? column.width() : wide,
                   metrics.height());
  painter.setPen(palette_.color(scene_.selected.is_shared() ? QPalette::Text : QPalette::PlaceholderText));
  painter.drawText(box, fits ? Qt::AlignCenter : Qt::AlignRight | Qt::AlignVCenter, label);
}

}  // namespace expertscope
