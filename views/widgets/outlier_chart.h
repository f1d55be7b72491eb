// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>
#include <memory>

#include "views/models/outlier_series.h"

class QCategoryAxis;
class QChart;
class QChartView;
class QLabel;
class QLineSeries;
class QScatterSeries;
class QValueAxis;

namespace expertscope {

class Subject;

/// max |down_proj output| of every expert, layer after layer, super experts marked and named.
class OutlierChart final : public QWidget {
  Q_OBJECT
 public:
  explicit OutlierChart(Subject& subject, QWidget* parent = nullptr);

  const OutlierSeries& series() const { return series_; }

 protected:
  void changeEvent(QEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void make_axes();
  void make_series();
  void use_palette();
  void update_data();
  void update_axes(int layers);
  void update_selected();
  /// The expert whose place in the plot is under a point of the view; none outside.
  Cell cell_at(const QPointF& pixel) const;
  void show_tip(Cell cell, const QPoint& global) const;

  Subject& subject_;
  OutlierSeries series_;
  QChart* chart_;
  QChartView* view_;
  QCategoryAxis* layers_ = nullptr;
  QValueAxis* values_ = nullptr;
  QLineSeries* line_ = nullptr;
  QLineSeries* threshold_ = nullptr;
  QScatterSeries* super_ = nullptr;
  QScatterSeries* selected_ = nullptr;
  QLabel* summary_;
};

}  // namespace expertscope
