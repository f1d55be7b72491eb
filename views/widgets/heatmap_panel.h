// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/map_source.h"
#include "views/widgets/heatmap_view.h"

class QComboBox;

namespace expertscope {

class Subject;
class WarningLabel;
struct ViewContext;

/// The routing map with its metric, scale and baseline.
class HeatmapPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit HeatmapPanel(ViewContext& context);

  HeatmapView& map() { return *map_; }
  const MapMetric& shown_metric() const { return source_.metric(); }

 protected:
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;

 private:
  QWidget* make_tool_bar();
  void connect_subject();
  void connect_commands();
  void choose_metric(int index);
  void show_map();
  void update_super_cells();
  void update_token_cells();
  void update_hint();
  void update_baselines();
  void update_domains();
  void update_warning();
  void update_reading(Cell cell);
  void update_figure();
  void show_menu(const QPoint& global);
  QString tooltip(Cell cell) const;
  QString layer_entropy(int layer) const;
  QString layer_attention(int layer) const;

  ViewContext& context_;
  Subject& subject_;
  MapSource source_;
  HeatmapView* map_;
  QComboBox* metric_ = nullptr;
  QComboBox* scale_ = nullptr;
  QComboBox* domain_ = nullptr;
  QComboBox* baseline_ = nullptr;
  WarningLabel* warning_ = nullptr;
};

}  // namespace expertscope
