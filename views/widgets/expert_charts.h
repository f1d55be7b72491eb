// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <QWidget>
#include <vector>

#include "probes/analysis/table.h"
#include "views/models/selection.h"

namespace expertscope {

/// What the rows of an expert's charts have in common: a name, what is drawn, and a number. As high as its
/// rows; the whole row is also the widget's accessible description.
class RowChart : public QWidget {
  Q_OBJECT
 public:
  explicit RowChart(QWidget* parent = nullptr);

  QSize sizeHint() const override;
  QSize minimumSizeHint() const override { return {120, sizeHint().height()}; }

 protected:
  struct Row {
    QString name;
    QString text;
  };
  void set_rows(std::vector<Row> rows);
  void paintEvent(QPaintEvent* event) override;
  /// Inside `area`, between the name and the number of a row.
  virtual void paint_row(QPainter& painter, std::size_t row, const QRectF& area) const = 0;
  /// Behind all rows.
  virtual void paint_ground(QPainter& /*painter*/, const QRectF& /*area*/) const {}

 private:
  QRectF area_of(std::size_t row) const;

  std::vector<Row> rows_;
  double names_ = 0;  ///< pixels of the longest name
};

/// How much of each domain an expert takes: bars with an interval, and a line where an even share would end.
class DomainBars final : public RowChart {
  Q_OBJECT
 public:
  struct Bar {
    QString domain;
    double share = 0;
    double low = 0;  ///< of the interval; NaN: not known
    double high = 0;
  };
  using RowChart::RowChart;
  void set_bars(std::vector<Bar> bars, double even);

 protected:
  void paint_row(QPainter& painter, std::size_t row, const QRectF& area) const override;
  void paint_ground(QPainter& painter, const QRectF& area) const override;

 private:
  double place(double share, const QRectF& area) const;

  std::vector<Bar> bars_;
  double even_ = 0;
  double longest_ = 1;
};

/// Of the table `experts` of the analysis of domains, the largest share first.
std::vector<DomainBars::Bar> domain_bars(const Table& table, Cell cell, std::size_t most);

/// Where an expert stands among those of its layer: a dot a number, the first at the left.
class RankDots final : public RowChart {
  Q_OBJECT
 public:
  struct Dot {
    QString name;
    int rank = 0;  ///< from 1
    int of = 0;
  };
  using RowChart::RowChart;
  void set_dots(std::vector<Dot> dots);

 protected:
  void paint_row(QPainter& painter, std::size_t row, const QRectF& area) const override;

 private:
  std::vector<Dot> dots_;
};

}  // namespace expertscope
