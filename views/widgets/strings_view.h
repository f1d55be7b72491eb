// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/analysis_source.h"
#include "views/models/analysis_table_model.h"

class QLabel;
class QTableView;

namespace expertscope {

/// What the selected expert is for: the strings that are routed to it most, how surely each of them is, and
/// where, with an example for each domain. Its window title is empty while no routed expert of a run is
/// selected.
class StringsView final : public QWidget {
  Q_OBJECT
 public:
  explicit StringsView(Subject& subject);

 protected:
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;

 private:
  void update_title();
  void ask();
  void update_tables();
  void show_examples();

  Subject& subject_;
  AnalysisSource source_;
  AnalysisTableModel strings_;
  QTableView* table_;
  QLabel* examples_;
};

}  // namespace expertscope
