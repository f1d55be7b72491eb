// SPDX-License-Identifier: GPL-3.0-or-later
// Beside and below the routing map: ticks, labels with leaders, the colour scale and the legend.
#include <QCoreApplication>
#include <QFontMetricsF>
#include <QImage>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "views/models/design.h"
#include "views/widgets/heatmap_painter.h"

namespace expertscope {
namespace {

// Pixels.
constexpr double kLabelDistance = 12;  // from one label to the next
constexpr double kFarthest = 24;       // from a label to its row
constexpr double kLeader = 16;         // from the plot to a label
constexpr double kGlyph = 8;
constexpr double kLegendGap = 7;  // from the plot to the legend
constexpr double kScaleWidth = 190;
constexpr double kScaleHeight = 8;

QString tr(const char* text) {
  return QCoreApplication::translate("HeatmapView", text);
}

QString label_of(Cell cell, const CellMarks& marks) {
  if (cell.is_shared()) return tr("shared");
  return marks.reroute_to >= 0 ? QStringLiteral("E%1→%2").arg(cell.expert).arg(marks.reroute_to)
                               : QStringLiteral("E%1").arg(cell.expert);
}

/// One a kind and layer, in place of one a cell.
std::vector<CellLabel> counted(const std::vector<CellLabel>& labels) {
  std::map<std::pair<int, Glyph>, int> counts;
  for (const CellLabel& label : labels) {
    for (const Glyph glyph : label.glyphs) {
      ++counts[{label.cell.layer, glyph}];
    }
  }
  std::vector<CellLabel> sums;
  for (const auto& [kind, count] : counts) {
    sums.push_back({Cell{kind.first, 0}, {kind.second}, tr("%1 in L%2").arg(count).arg(kind.first), count});
  }
  return sums;
}

std::vector<CellLabel> one_a_layer(const std::vector<CellLabel>& labels, Cell selected) {
  std::vector<CellLabel> layers;
  for (const CellLabel& label : labels) {
    if (layers.empty() || layers.back().cell.layer != label.cell.layer) {
      layers.push_back(label);
      continue;
    }
    CellLabel& layer = layers.back();
    std::set<Glyph> glyphs(layer.glyphs.begin(), layer.glyphs.end());
    glyphs.insert(label.glyphs.begin(), label.glyphs.end());
    layer.glyphs.assign(glyphs.begin(), glyphs.end());
    layer.cells += label.cells;
    if (label.cell == selected) {
      layer.cell = label.cell;
      layer.text = label.text;
    }
  }
  for (CellLabel& layer : layers) {
    if (layer.cells > 1) layer.text += QStringLiteral(" +%1").arg(layer.cells - 1);
  }
  return layers;
}

std::vector<PlacedLabel> moved_apart(const std::vector<CellLabel>& labels, const HeatmapGeometry& geometry) {
  const QRectF& plot = geometry.plot();
  std::vector<PlacedLabel> placed;
  std::vector<double> heights;
  for (const CellLabel& label : labels) {
    const double y = geometry.rect_of(label.cell).center().y();
    if (y < plot.top() || y > plot.bottom()) continue;
    placed.push_back({label, y, y});
    heights.push_back(y);
  }
  const auto places = pushed_apart(std::move(heights), kLabelDistance, plot.top() + 4, plot.bottom() - 4);
  for (std::size_t i = 0; i < placed.size(); ++i)
    placed[i].place = places[i];
  return placed;
}

}  // namespace

std::vector<CellLabel> margin_labels(const HeatmapScene& scene, std::size_t most) {
  std::vector<CellLabel> labels;
  const auto is_super = [&](Cell cell) {
    return std::find(scene.super_cells.begin(), scene.super_cells.end(), cell) != scene.super_cells.end();
  };
  for (int layer = 0; layer < scene.data->layers; ++layer) {
    for (int expert = scene.data->has_shared(layer) ? kSharedExpert : 0; expert < scene.data->experts;
         ++expert) {
      const Cell cell{layer, expert};
      const CellMarks& marks = scene.marks.at(cell);
      if (!marks.any() && scene.super_cells.empty()) continue;
      std::vector<Glyph> glyphs = glyphs_of(marks);
      if (is_super(cell)) glyphs.insert(glyphs.begin(), Glyph::super);
      if (!glyphs.empty()) labels.push_back({cell, std::move(glyphs), label_of(cell, marks)});
    }
  }
  return labels.size() > most ? counted(labels) : labels;
}

std::vector<double> pushed_apart(std::vector<double> heights, double distance, double top, double bottom) {
  if (heights.empty()) return heights;
  heights.front() = std::max(heights.front(), top);
  for (std::size_t i = 1; i < heights.size(); ++i) {
    heights[i] = std::max(heights[i], heights[i - 1] + distance);
  }
  heights.back() = std::min(heights.back(), bottom);
  for (std::size_t i = heights.size() - 1; i > 0; --i) {
    heights[i - 1] = std::min(heights[i - 1], heights[i] - distance);
  }
  return heights;
}

QColor HeatmapPainter::ink_of(Glyph glyph) const {
  return glyph == Glyph::super ? design_colours(palette_).mark : palette_.color(QPalette::Text);
}

void HeatmapPainter::paint_ticks(QPainter& painter, const std::vector<CellLabel>& labels) const {
  painter.save();
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(Qt::NoPen);
  for (const CellLabel& label : labels) {
    if (label.cells > 1 || !is_in_sight(label.cell)) continue;
    const double x = geometry_.rect_of(label.cell).center().x();
    const double y = geometry_.plot().top() - 2;
    painter.setBrush(ink_of(label.glyphs.front()));
    const QPointF tick[] = {{x, y}, {x - 3.5, y - 4}, {x + 3.5, y - 4}};
    painter.drawPolygon(tick, 3);
  }
  painter.restore();
}

std::vector<PlacedLabel> place_labels(const std::vector<CellLabel>& labels, const HeatmapGeometry& geometry,
                                      Cell selected) {
  std::vector<PlacedLabel> placed = moved_apart(labels, geometry);
  const bool counted = std::any_of(labels.begin(), labels.end(), [](const auto& l) { return l.cells > 1; });
  const bool crowded = std::any_of(placed.begin(), placed.end(), [](const PlacedLabel& each) {
    return std::abs(each.place - each.height) > kFarthest;
  });
  return crowded && !counted ? moved_apart(one_a_layer(labels, selected), geometry) : placed;
}

void HeatmapPainter::paint_labels(QPainter& painter, const std::vector<CellLabel>& labels,
                                  const QRectF& area) const {
  const QRectF& plot = geometry_.plot();
  const double line = QFontMetricsF(font_).height();
  painter.save();
  painter.setRenderHint(QPainter::Antialiasing);
  for (const auto& [label, height, place] : place_labels(labels, geometry_, scene_.selected)) {
    if (place < plot.top() - kLabelDistance) continue;  // more than there is room for
    painter.setPen(QPen(ink_of(label.glyphs.front()), 1));
    const double x = plot.right() + 2;
    const QPointF leader[] = {{x, height}, {x + 4, height}, {x + 8, place}, {x + kLeader - 4, place}};
    painter.drawPolyline(leader, 4);
    QRectF box(x + kLeader - 2, place - kGlyph / 2, kGlyph, kGlyph);
    for (const Glyph glyph : label.glyphs) {
      paint_glyph(painter, glyph, box, ink_of(glyph));
      box.translate(kGlyph + 3, 0);
    }
    QFont font = font_;
    font.setBold(label.cell == scene_.selected);
    painter.setFont(font);
    painter.setPen(palette_.color(QPalette::Text));
    const QRectF text(box.left(), place - line / 2, area.right() - box.left(), line);
    painter.drawText(text, Qt::AlignLeft | Qt::AlignVCenter, label.text);
  }
  painter.restore();
}

void HeatmapPainter::paint_legend(QPainter& painter, const std::vector<CellLabel>& labels,
                                  const QRectF& area) const {
  if (!scene_.data->has_values()) return;
  painter.setFont(font_);
  const double top = geometry_.plot().bottom() + kLegendGap;
  double left = paint_scale(painter, geometry_.plot().left(), top);
  left = paint_swatches(painter, left + 24, top, area.right() - 8);
  paint_kinds(painter, labels, left + 16, area.right() - 8);
}

/// The colour scale with its unit; returns where it ends.
double HeatmapPainter::paint_scale(QPainter& painter, double left, double top) const {
  const QFontMetricsF metrics(font_);
  const HeatmapData& data = *scene_.data;
  const ColourScale scale = data.scale(scene_.logarithmic);
  painter.setPen(palette_.color(QPalette::PlaceholderText));
  painter.drawText(QPointF(left, top + metrics.ascent() - 1), data.unit);
  const QRectF bar(left + metrics.horizontalAdvance(data.unit) + 16, top, kScaleWidth, kScaleHeight);
  const auto& table = colour_table(data.colour_map(is_dark(palette_)));
  QImage strip(256, 1, QImage::Format_RGB32);
  for (int i = 0; i < 256; ++i) {
    strip.setPixel(i, 0, table[static_cast<std::size_t>(i)]);
  }
  painter.drawImage(bar, strip);
  paint_pointer(painter, bar, scale);
  // The ends first, then what fits in between.
  const bool below = data.low < scale.low && (data.difference || scene_.logarithmic);
  const bool above = data.high > scale.high;
  std::vector<std::pair<double, double>> taken;
  const auto write = [&](double value, const QString& text) {
    const double half = metrics.horizontalAdvance(text) / 2 + 1;
    const double x = std::max(bar.left() + scale.position(value) * bar.width(), left + half);
    const bool hit = std::any_of(taken.begin(), taken.end(), [&](const auto& other) {
      return x - half < other.second + 6 && x + half > other.first - 6;
    });
    if (hit) return;
    taken.emplace_back(x - half, x + half);
    painter.drawText(QRectF(x - half, bar.bottom() + 1, 2 * half, metrics.height()), Qt::AlignCenter, text);
  };
  write(scale.low, (below ? QStringLiteral("≤ ") : QString()) + data.short_text(scale.low));
  write(scale.high, (above ? QStringLiteral("≥ ") : QString()) + data.short_text(scale.high));
  for (const double tick : scale.ticks(4)) {
    write(tick, data.tick_text(tick));
  }
  return bar.right();
}

/// Where the selected cell lies on the scale.
void HeatmapPainter::paint_pointer(QPainter& painter, const QRectF& bar, const ColourScale& scale) const {
  if (!scene_.data->contains(scene_.selected)) return;
  const double value = scene_.data->at(scene_.selected);
  if (std::isnan(value)) return;
  const double x = bar.left() + scale.position(value) * bar.width();
  painter.save();
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(Qt::NoPen);
  painter.setBrush(palette_.color(QPalette::Text));
  const QPointF triangle[] = {{x, bar.top()}, {x - 4, bar.top() - 5}, {x + 4, bar.top() - 5}};
  painter.drawPolygon(triangle, 3);
  painter.restore();
}

/// What a cell without a value means, where there are such cells and room; returns where it ends.
double HeatmapPainter::paint_swatches(QPainter& painter, double left, double top, double right) const {
  const QFontMetricsF metrics(font_);
  const HeatmapData& data = *scene_.data;
  const bool unused = std::any_of(data.unused.begin(), data.unused.end(), [](auto u) { return u != 0; });
  bool unmeasured = false;
  for (std::size_t i = 0; i < data.values.size() && !unmeasured; ++i) {
    const bool moe = data.moe_layer[i / static_cast<std::size_t>(data.experts)] != 0;
    unmeasured = moe && std::isnan(data.values[i]) && (data.unused.empty() || data.unused[i] == 0);
  }
  const auto swatch = [&](const QString& text, bool dot) {
    const double wide = 14 + metrics.horizontalAdvance(text);
    if (left + wide > right) return;
    const QRectF box(left, top, 9, 9);
    dot ? paint_unused(painter, box) : paint_unmeasured(painter, box);
    painter.setPen(palette_.color(QPalette::Mid));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(box.adjusted(0, 0, -1, -1));
    painter.setPen(palette_.color(QPalette::PlaceholderText));
    painter.drawText(QPointF(left + 14, top + metrics.ascent() - 1), text);
    left += wide + 16;
  };
  if (unused) swatch(tr("never used"), true);
  if (unmeasured) swatch(tr("not measured"), false);
  return left;
}

/// The kinds of marks that there are, at the right edge, as many as fit.
void HeatmapPainter::paint_kinds(QPainter& painter, const std::vector<CellLabel>& labels, double left,
                                 double right) const {
  const QFontMetricsF metrics(font_);
  const double top = geometry_.plot().bottom() + kLegendGap;
  std::set<Glyph> kinds;
  for (const CellLabel& label : labels) {
    kinds.insert(label.glyphs.begin(), label.glyphs.end());
  }
  for (auto kind = kinds.rbegin(); kind != kinds.rend(); ++kind) {
    const QString name = glyph_name(*kind);
    const double wide = kGlyph + 5 + metrics.horizontalAdvance(name);
    if (right - wide < left) return;
    paint_glyph(painter, *kind, QRectF(right - wide, top + 1, kGlyph, kGlyph), ink_of(*kind));
    painter.setPen(palette_.color(QPalette::PlaceholderText));
    painter.drawText(QPointF(right - wide + kGlyph + 5, top + metrics.ascent() - 1), name);
    right -= wide + 14;
  }
}

}  // namespace expertscope
