// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QSortFilterProxyModel;
class QTableView;

namespace expertscope {

class Subject;

/// The routing map as a sortable table; the selection is the map's.
class TablePanel final : public QWidget {
  Q_OBJECT
 public:
  explicit TablePanel(Subject& subject, QWidget* parent = nullptr);

  QTableView& table() { return *table_; }

 public Q_SLOTS:
  /// The selected rows (all when none is selected) as tab-separated text with a header.
  void copy() const;

 protected:
  void showEvent(QShowEvent* event) override;

 private:
  void select_cell();
  void arrange_columns();

  Subject& subject_;
  QSortFilterProxyModel* sorted_;
  QTableView* table_;
  bool scrolls_when_shown_ = false;  ///< a cell was selected meanwhile
};

}  // namespace expertscope
