// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/analysis_source.h"
#include "views/models/analysis_table_model.h"

class QLabel;
class QTableView;

namespace expertscope {

/// What can be said of every layer: entropy, fairness, dead experts, attention on the first token, largest
/// hidden state. A click selects the layer.
class LayersView final : public QWidget {
  Q_OBJECT
 public:
  explicit LayersView(Subject& subject);

 protected:
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;

 private:
  void update_table();
  void select_layer(Cell cell);

  Subject& subject_;
  AnalysisSource source_;
  AnalysisTableModel model_;
  QTableView* table_;
  QLabel* empty_;
};

}  // namespace expertscope
