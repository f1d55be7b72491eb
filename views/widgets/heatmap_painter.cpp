// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/heatmap_painter.h"

#include <QCoreApplication>
#include <QFontMetricsF>
#include <algorithm>
#include <cmath>

#include "views/widgets/heatmap_marks.h"

namespace expertscope {
namespace {

constexpr double kSmallestGrid = 6;  // pixels: below, cells touch each other
constexpr double kSmallestCell = 3;  // pixels: below, one image is drawn instead of cells
constexpr double kLegendWidth = 14;  // pixels
constexpr double kLegendGap = 18;    // pixels between plot and legend
constexpr double kCellText = 0.8;    // size of the numbers in cells relative to the font

QString tr(const char* text) {
  return QCoreApplication::translate("HeatmapView", text);
}

/// Every how many labels one fits, from 1, 2, 5, 10, 20 ...
int label_step(double spacing, double label) {
  int step = 1;
  for (int i = 0; step * spacing < label && i < 12; ++i) {
    step = i % 3 == 0 ? step * 2 : i % 3 == 1 ? step / 2 * 5 : step * 2;
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
    : scene_(scene), geometry_(geometry), palette_(palette), font_(font) {}

QMarginsF HeatmapPainter::margins(const QFont& font) {
  const QFontMetricsF metrics(font);
  const double line = metrics.height();
  return {line * 1.4 + metrics.horizontalAdvance(QStringLiteral("000")) + 8, line * 2 + 12,
          kLegendGap + kLegendWidth + metrics.horizontalAdvance(QStringLiteral("00000")) + 20, 10};
}

void HeatmapPainter::paint(QPainter& painter, const QRectF& area) const {
  painter.setFont(font_);
  painter.setRenderHint(QPainter::Antialiasing, false);
  painter.save();
  painter.setClipRect(geometry_.plot().adjusted(-2, -2, 2, 2));
  paint_cells(painter);
  paint_dense_layers(painter);
  painter.setRenderHint(QPainter::Antialiasing, true);
  paint_marks(painter);
  paint_super_cells(painter);
  paint_token_cells(painter);
  if (scene_.hovered) paint_outline(painter, *scene_.hovered, palette_.color(QPalette::Text), 1.2);
  if (scene_.selected.valid()) paint_outline(painter, scene_.selected, QColor(Qt::white), 2.4);
  painter.restore();
  paint_layer_axis(painter);
  paint_expert_axis(painter);
  paint_legend(painter, area);
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
  const double smaller = std::min(rect.width(), rect.height());
  if (smaller >= kSmallestGrid) rect.adjust(0, 0, -1, -1);
  const double value = scene_.data->at(cell);
  if (std::isnan(value)) {
    paint_unmeasured(painter, rect);
    return;
  }
  const QRgb colour = scale.colour(value, scene_.data->colour_map());
  painter.fillRect(rect, QColor::fromRgb(colour));
  if (scene_.marks.at(cell).prune) return;
  const QFontMetricsF metrics(font_);
  if (rect.height() < metrics.height() * 1.5 ||
      rect.width() < metrics.horizontalAdvance(QStringLiteral("00000"))) {
    return;
  }
  QFont small = font_;
  small.setPointSizeF(font_.pointSizeF() * kCellText);
  painter.setFont(small);
  QColor ink = readable_on(colour);
  ink.setAlphaF(0.85f);
  painter.setPen(ink);
  painter.drawText(rect, Qt::AlignCenter, format_short(scene_.data->metric, value));
  painter.setFont(font_);
}

void HeatmapPainter::paint_image(QPainter& painter, const ColourScale& scale) const {
  const HeatmapData& data = *scene_.data;
  // One pixel a column and layer. What is between the shared experts and the others shows the background.
  const int columns = geometry_.first_column() + data.experts;
  QImage image(columns, data.layers, QImage::Format_RGB32);
  image.fill(palette_.color(QPalette::Base));
  const QRgb nothing = blend(palette_.color(QPalette::Base), palette_.color(QPalette::Text), 0.12).rgb();
  for (int layer = 0; layer < data.layers; ++layer) {
    auto* line = reinterpret_cast<QRgb*>(image.scanLine(layer));
    const auto colour = [&](Cell cell) {
      const double value = data.at(cell);
      return std::isnan(value) ? nothing : scale.colour(value, data.colour_map());
    };
    for (int column = 0; data.has_shared(layer) && column < geometry_.shared_columns(); ++column) {
      line[column] = colour({layer, kSharedExpert});
    }
    for (int expert = 0; expert < data.experts; ++expert) {
      line[geometry_.first_column() + expert] = colour({layer, expert});
    }
  }
  painter.drawImage(geometry_.plot(), image, geometry_.view());
}

void HeatmapPainter::paint_unmeasured(QPainter& painter, const QRectF& rect) const {
  const QColor base = palette_.color(QPalette::Base);
  painter.fillRect(rect, blend(base, palette_.color(QPalette::Text), 0.05));
  if (std::min(rect.width(), rect.height()) < kSmallestGrid) return;
  painter.fillRect(rect, QBrush(blend(base, palette_.color(QPalette::Text), 0.2), Qt::BDiagPattern));
}

void HeatmapPainter::paint_dense_layers(QPainter& painter) const {
  for (int layer = 0; layer < geometry_.layers(); ++layer) {
    if (scene_.data->is_moe(layer)) continue;
    QRectF rect = geometry_.rect_of({layer, 0});
    rect.setLeft(geometry_.plot().left());
    rect.setRight(geometry_.plot().right());
    painter.fillRect(rect.adjusted(0, 0, -1, -1),
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
    if (marks.any()) paint_cell_marks(painter, geometry_.rect_of(cell).adjusted(0, 0, -1, -1), marks);
  });
  // Arrows last: they cross other cells.
  for (int layer = 0; layer < geometry_.layers(); ++layer) {
    for (int expert = 0; expert < geometry_.experts(); ++expert) {
      const int target = scene_.marks.at({layer, expert}).reroute_to;
      if (target < 0) continue;
      paint_reroute_arrow(painter, geometry_.rect_of({layer, expert}), geometry_.rect_of({layer, target}));
    }
  }
  const bool target = scene_.hovered && !scene_.hovered->is_shared();
  if (scene_.reroute_source && target && scene_.hovered->layer == scene_.reroute_source->layer) {
    paint_reroute_arrow(painter, geometry_.rect_of(*scene_.reroute_source),
                        geometry_.rect_of(*scene_.hovered));
  }
}

void HeatmapPainter::paint_super_cells(QPainter& painter) const {
  for (const Cell& cell : scene_.super_cells) {
    if (!scene_.data->contains(cell)) continue;
    const QRectF rect = geometry_.rect_of(cell).adjusted(0, 0, -1, -1);
    const double size = std::clamp(std::min(rect.width(), rect.height()) * 0.26, 3.0, 9.0);
    const QPointF top(rect.right() - size * 1.1, rect.top() + size * 0.5);
    const QPointF triangle[] = {top, top + QPointF(size * 0.6, size), top + QPointF(-size * 0.6, size)};
    painter.setPen(QPen(QColor(0, 0, 0, 210), 1.2));
    painter.setBrush(category_colour(5));
    painter.drawPolygon(triangle, 3);
  }
}

void HeatmapPainter::paint_token_cells(QPainter& painter) const {
  for (const Cell& cell : scene_.token_cells) {
    if (!scene_.data->contains(cell)) continue;
    const QRectF rect = geometry_.rect_of(cell).adjusted(0, 0, -1, -1);
    const double size = std::clamp(std::min(rect.width(), rect.height()) * 0.26, 2.0, 9.0);
    const QRectF dot(rect.left() + size * 0.5, rect.bottom() - size * 1.5, size, size);
    painter.setPen(QPen(QColor(0, 0, 0, 210), 1.2));
    painter.setBrush(category_colour(0));
    painter.drawEllipse(dot);
  }
}

void HeatmapPainter::paint_outline(QPainter& painter, Cell cell, const QColor& colour, double width) const {
  if (!scene_.data->contains(cell)) return;
  const QRectF rect = geometry_.rect_of(cell).adjusted(-0.5, -0.5, -0.5, -0.5);
  painter.setBrush(Qt::NoBrush);
  // A dark line around the light one: visible on every colour of the map.
  painter.setPen(QPen(QColor(0, 0, 0, 200), width + 2));
  painter.drawRect(rect);
  painter.setPen(QPen(colour, width));
  painter.drawRect(rect);
}

void HeatmapPainter::paint_layer_axis(QPainter& painter) const {
  const QFontMetricsF metrics(font_);
  const QRectF& plot = geometry_.plot();
  const int step = label_step(geometry_.cell_height(), metrics.height());
  for (int layer = 0; layer < geometry_.layers(); layer += step) {
    const QRectF cell = geometry_.rect_of({layer, 0});
    const double centre = cell.center().y();
    if (centre < plot.top() || centre > plot.bottom()) continue;
    const bool chosen = layer == scene_.selected.layer;
    painter.setPen(palette_.color(chosen ? QPalette::Text : QPalette::PlaceholderText));
    painter.drawText(QRectF(plot.left() - 60, centre - metrics.height() / 2, 54, metrics.height()),
                     Qt::AlignRight | Qt::AlignVCenter, QString::number(layer));
  }
  painter.save();
  painter.setPen(palette_.color(QPalette::PlaceholderText));
  painter.translate(plot.left() - HeatmapPainter::margins(font_).left() + 4 + metrics.height() / 2,
                    plot.center().y());
  painter.rotate(-90);
  painter.drawText(QRectF(-60, -metrics.height() / 2, 120, metrics.height()), Qt::AlignCenter, tr("layer"));
  painter.restore();
}

void HeatmapPainter::paint_expert_axis(QPainter& painter) const {
  const QFontMetricsF metrics(font_);
  const QRectF& plot = geometry_.plot();
  const double widest = metrics.horizontalAdvance(QString::number(geometry_.experts())) + 8;
  const int step = label_step(geometry_.cell_width(), widest);
  const double top = plot.top() - metrics.height() - 5;
  for (int expert = 0; expert < geometry_.experts(); expert += step) {
    const double centre = geometry_.rect_of({0, expert}).center().x();
    if (centre < plot.left() || centre > plot.right()) continue;
    const bool chosen = expert == scene_.selected.expert;
    painter.setPen(palette_.color(chosen ? QPalette::Text : QPalette::PlaceholderText));
    painter.drawText(QRectF(centre - 30, top, 60, metrics.height()), Qt::AlignCenter,
                     QString::number(expert));
  }
  if (geometry_.has_shared()) paint_shared_label(painter, top);
  painter.setPen(palette_.color(QPalette::PlaceholderText));
  painter.drawText(QRectF(plot.left(), top - metrics.height() - 2, plot.width(), metrics.height()),
                   Qt::AlignHCenter, tr("expert"));
}

/// Over its column, or, where that is narrower than the word, up to its right edge: "0" comes next.
void HeatmapPainter::paint_shared_label(QPainter& painter, double top) const {
  const QFontMetricsF metrics(font_);
  const QRectF column = geometry_.rect_of({0, kSharedExpert});
  if (column.right() <= geometry_.plot().left()) return;
  const QString label = tr("shared");
  const double wide = metrics.horizontalAdvance(label) + 4;
  const bool fits = column.width() >= wide;
  const QRectF box(fits ? column.left() : column.right() - wide, top, fits ? column.width() : wide,
                   metrics.height());
  painter.setPen(palette_.color(scene_.selected.is_shared() ? QPalette::Text : QPalette::PlaceholderText));
  painter.drawText(box, fits ? Qt::AlignCenter : Qt::AlignRight | Qt::AlignVCenter, label);
}

void HeatmapPainter::paint_legend(QPainter& painter, const QRectF& area) const {
  const QFontMetricsF metrics(font_);
  const QRectF& plot = geometry_.plot();
  const double left = plot.right() + kLegendGap;
  if (!scene_.data->has_values()) return;
  const bool load = scene_.data->metric == HeatmapMetric::load;
  const QString unit = scene_.data->difference ? (load ? tr("Δ pp") : tr("Δ")) : (load ? tr("%") : QString());
  painter.setPen(palette_.color(QPalette::PlaceholderText));
  painter.drawText(QRectF(left, plot.top() - metrics.height() - 5, area.right() - left, metrics.height()),
                   Qt::AlignLeft | Qt::AlignVCenter, unit);
  const double swatch = metrics.height();
  const QRectF bar(left, plot.top(), kLegendWidth, std::clamp(plot.height() - 2.2 * swatch, 40.0, 420.0));
  paint_legend_bar(painter, bar);
  const QRectF hatch(left, bar.bottom() + 0.9 * swatch, kLegendWidth, swatch);
  if (hatch.bottom() > area.bottom()) return;
  paint_unmeasured(painter, hatch);
  painter.setPen(palette_.color(QPalette::PlaceholderText));
  painter.drawText(QRectF(hatch.right() + 6, hatch.top(), area.right() - hatch.right() - 6, swatch),
                   Qt::AlignLeft | Qt::AlignVCenter, tr("n/a"));
}

void HeatmapPainter::paint_legend_bar(QPainter& painter, const QRectF& bar) const {
  const QFontMetricsF metrics(font_);
  const ColourScale scale = scene_.data->scale(scene_.logarithmic);
  const auto& table = colour_table(scene_.data->colour_map());
  QImage strip(1, 256, QImage::Format_RGB32);
  for (int i = 0; i < 256; ++i) {
    strip.setPixel(0, i, table[255 - i]);
  }
  painter.drawImage(bar, strip);
  for (const double tick :
       scale.ticks(std::max(2, static_cast<int>(bar.height() / (metrics.height() * 2))))) {
    const double y = bar.bottom() - scale.position(tick) * bar.height();
    painter.setPen(palette_.color(QPalette::PlaceholderText));
    painter.drawLine(QPointF(bar.right(), y), QPointF(bar.right() + 4, y));
    painter.setPen(palette_.color(QPalette::Text));
    painter.drawText(QRectF(bar.right() + 7, y - metrics.height() / 2, 60, metrics.height()),
                     Qt::AlignLeft | Qt::AlignVCenter, format_short(scene_.data->metric, tick));
  }
  // Where the selected cell lies on the scale.
  if (!scene_.data->contains(scene_.selected)) return;
  const double value = scene_.data->at(scene_.selected);
  if (std::isnan(value)) return;
  const double y = bar.bottom() - scale.position(value) * bar.height();
  painter.setPen(Qt::NoPen);
  painter.setBrush(palette_.color(QPalette::Text));
  const QPointF triangle[] = {{bar.left() - 2, y}, {bar.left() - 8, y - 4}, {bar.left() - 8, y + 4}};
  painter.drawPolygon(triangle, 3);
}

}  // namespace expertscope
