// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>
#include <vector>

#include "probes/store/trace_reader.h"

namespace expertscope {

/// A small bar chart without axes: one bar per value, scaled to the largest, which is written at the top.
class Sparkline final : public QWidget {
  Q_OBJECT
 public:
  explicit Sparkline(QWidget* parent = nullptr);

  /// Values in [0, 1]; `tokens` are the run token indices that the bars cover together.
  void set_values(std::vector<float> values, TokenRange tokens);

  QSize sizeHint() const override { return {200, 56}; }
  QSize minimumSizeHint() const override { return {80, 48}; }

 protected:
  bool event(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;

 private:
  std::vector<float> values_;
  TokenRange tokens_;
};

}  // namespace expertscope
