// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/heatmap_data.h"
#include "views/widgets/heatmap_view.h"

class QCheckBox;
class QComboBox;
class QLabel;

namespace expertscope {

class WarningLabel;
class Workspace;

/// The routing map with its metric, scale and baseline.
class HeatmapPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit HeatmapPanel(Workspace& workspace, QWidget* parent = nullptr);

  HeatmapView& map() { return *map_; }
  HeatmapMetric shown_metric() const;
  void set_metric(HeatmapMetric metric);

 Q_SIGNALS:
  void metric_changed(expertscope::HeatmapMetric metric);

 private:
  QWidget* make_tool_bar();
  void connect_workspace();
  void update_data();
  void update_super_cells();
  void update_token_cells();
  void update_hint();
  void update_baselines();
  void update_warning();
  void update_reading(Cell cell);
  void update_figure();
  QString tooltip(Cell cell) const;
  QString layer_entropy(int layer) const;
  QString layer_attention(int layer) const;

  Workspace& workspace_;
  HeatmapView* map_;
  QComboBox* metric_ = nullptr;
  QComboBox* baseline_ = nullptr;
  QCheckBox* logarithmic_ = nullptr;
  WarningLabel* warning_ = nullptr;
  QLabel* reading_ = nullptr;
};

}  // namespace expertscope
