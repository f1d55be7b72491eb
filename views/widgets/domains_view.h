// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/analysis_source.h"
#include "views/widgets/heatmap_view.h"

class QComboBox;
class QLabel;

namespace expertscope {

struct ViewContext;

/// Where the experts of one domain are: its load on the map, as it is or against that of all others together.
class DomainsView final : public QWidget {
  Q_OBJECT
 public:
  explicit DomainsView(ViewContext& context);

 protected:
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;

 private:
  QWidget* make_bar();
  void update_domains();
  void mark_super_experts();
  void update_map();
  QString hint() const;
  QString tooltip(Cell cell) const;

  ViewContext& context_;
  Subject& subject_;
  AnalysisSource source_;
  HeatmapView* map_;
  QComboBox* domain_;
  QComboBox* against_;
  QLabel* size_;  ///< of the domain
};

}  // namespace expertscope
