// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractTableModel>
#include <memory>

#include "views/models/trace_view.h"

namespace expertscope {

/// The routing map as a table: one row per (MoE layer, expert). DisplayRole carries text, kSortRole the raw
/// number.
class ExpertTableModel final : public QAbstractTableModel {
  Q_OBJECT
 public:
  enum Column {
    kLayer,
    kExpert,
    kCount,
    kShare,
    kWeight,
    kProbability,
    kNorm,
    kOutputMax,
    kChannel,
    kToken,
    kColumns
  };
  enum Role { kSortRole = Qt::UserRole + 1 };

  using QAbstractTableModel::QAbstractTableModel;

  /// Null empties the table. Rows keep their identity when only numbers changed.
  void set_snapshot(std::shared_ptr<const RunSnapshot> snapshot);
  Cell cell_of(int row) const;
  /// Row of a cell, or -1.
  int row_of(Cell cell) const;

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

 private:
  /// The raw number; NaN where not measured.
  double number(int row, int column) const;
  QString text(int row, int column) const;

  std::shared_ptr<const RunSnapshot> snapshot_;
};

}  // namespace expertscope
