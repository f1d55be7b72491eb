// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/expert_charts.h"

#include <QPainter>
#include <algorithm>
#include <cmath>

#include "views/models/design.h"
#include "views/models/numbers.h"
#include "views/models/plain_text.h"
#include "views/models/table_map.h"

namespace expertscope {
namespace {

constexpr int kRow = 18;             // pixels
constexpr double kNumber = 62;       // pixels of the numbers at the right
constexpr double kNameShare = 0.45;  // of the width at most, for the names at the left
constexpr double kGap = 8;           // pixels

}  // namespace

RowChart::RowChart(QWidget* parent) : QWidget(parent) {
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

QSize RowChart::sizeHint() const {
  const int row = std::max(kRow, fontMetrics().height() + 3);
  return {200, static_cast<int>(rows_.size()) * row};
}

void RowChart::set_rows(std::vector<Row> rows) {
  const bool higher = rows.size() != rows_.size();
  rows_ = std::move(rows);
  QStringList lines;
  names_ = 0;
  for (const Row& row : rows_) {
    lines << row.name + QLatin1Char(' ') + row.text;
    names_ = std::max<double>(names_, fontMetrics().horizontalAdvance(row.name) + 1);
  }
  setAccessibleDescription(lines.join(QStringLiteral(", ")));
  if (higher) updateGeometry();
  update();
}

QRectF RowChart::area_of(std::size_t row) const {
  const double height = static_cast<double>(this->height()) / static_cast<double>(rows_.size());
  const double left = std::min(names_, std::round(width() * kNameShare)) + kGap;
  return {left, static_cast<double>(row) * height, std::max(1.0, width() - left - kNumber - kGap), height};
}

void RowChart::paintEvent(QPaintEvent*) {
  if (rows_.empty()) return;
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  if (!isEnabled()) painter.setOpacity(0.4);
  const QRectF first = area_of(0);
  paint_ground(painter, {first.left(), 0, first.width(), static_cast<double>(height())});
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    const QRectF area = area_of(row);
    painter.setPen(palette().color(QPalette::Active, QPalette::WindowText));
    const QRectF name(0, area.top(), area.left() - kGap, area.height());
    painter.drawText(
        name, Qt::AlignLeft | Qt::AlignVCenter,
        fontMetrics().elidedText(rows_[row].name, Qt::ElideRight, static_cast<int>(name.width())));
    painter.drawText(QRectF(area.right() + kGap, area.top(), kNumber, area.height()),
                     Qt::AlignRight | Qt::AlignVCenter, rows_[row].text);
    paint_row(painter, row, area);
  }
}

void DomainBars::set_bars(std::vector<Bar> bars, double even) {
  bars_ = std::move(bars);
  even_ = even;
  longest_ = even;
  std::vector<Row> rows;
  for (const Bar& bar : bars_) {
    longest_ = std::max({longest_, bar.share, std::isfinite(bar.high) ? bar.high : 0});
    rows.push_back({bar.domain, percent_text(bar.share)});
  }
  set_rows(std::move(rows));
}

double DomainBars::place(double share, const QRectF& area) const {
  return area.left() + std::max(0.0, share) / longest_ * area.width();
}

void DomainBars::paint_row(QPainter& painter, std::size_t row, const QRectF& area) const {
  const Bar& bar = bars_[row];
  const QRectF room = area.adjusted(0, 4, 0, -4);
  painter.fillRect(QRectF(QPointF(room.left(), room.top()), QPointF(place(bar.share, room), room.bottom())),
                   design_colours(palette()).chart);
  if (!std::isfinite(bar.low) || !std::isfinite(bar.high)) return;
  painter.setPen(QPen(palette().color(QPalette::Active, QPalette::WindowText), 1));
  const double middle = std::floor(room.center().y()) + 0.5;
  const double low = place(bar.low, room);
  const double high = place(bar.high, room);
  painter.drawLine(QPointF(low, middle), QPointF(high, middle));
  for (const double end : {low, high}) {
    painter.drawLine(QPointF(end, middle - 3), QPointF(end, middle + 3));
  }
}

void DomainBars::paint_ground(QPainter& painter, const QRectF& area) const {
  painter.setPen(QPen(palette().color(QPalette::PlaceholderText), 1, Qt::DashLine));
  const double even = std::floor(place(even_, area)) + 0.5;
  painter.drawLine(QPointF(even, area.top()), QPointF(even, area.bottom()));
}

std::vector<DomainBars::Bar> domain_bars(const Table& table, Cell cell, std::size_t most) {
  const Column& share = *table.find("share");
  std::vector<DomainBars::Bar> bars;
  for (const std::size_t row : largest_rows_of(table, cell, share, most)) {
    // The interval is that of the difference from the mean, and is drawn where the share is.
    const double mean = share.number(row) - table.find("difference")->number(row);
    bars.push_back({visible(table.find("domain")->text(row)), share.number(row),
                    mean + table.find("low")->number(row), mean + table.find("high")->number(row)});
  }
  return bars;
}

void RankDots::set_dots(std::vector<Dot> dots) {
  dots_ = std::move(dots);
  std::vector<Row> rows;
  for (const Dot& dot : dots_) {
    rows.push_back({dot.name, QString::number(dot.rank)});
  }
  set_rows(std::move(rows));
}

void RankDots::paint_row(QPainter& painter, std::size_t row, const QRectF& area) const {
  const Dot& dot = dots_[row];
  const double middle = std::floor(area.center().y()) + 0.5;
  painter.setPen(QPen(palette().color(QPalette::Mid), 1));
  painter.drawLine(QPointF(area.left(), middle), QPointF(area.right(), middle));
  const double part = dot.of > 1 ? static_cast<double>(dot.rank - 1) / (dot.of - 1) : 0;
  painter.setPen(Qt::NoPen);
  painter.setBrush(design_colours(palette()).chart);
  painter.drawEllipse(QPointF(area.left() + 4 + part * (area.width() - 8), middle), 4, 4);
}

}  // namespace expertscope
