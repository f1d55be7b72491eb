// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractTableModel>
#include <memory>

#include "probes/analysis/analysis.h"
#include "views/models/selection.h"

namespace expertscope {

/// A table of an analysis as Qt knows one, whatever its columns are: numbers as people read them, all digits
/// in the tooltip, what a column means at its head.
class AnalysisTableModel final : public QAbstractTableModel {
  Q_OBJECT
 public:
  enum Role { kSortRole = Qt::UserRole + 1 };

  using QAbstractTableModel::QAbstractTableModel;

  /// `table` is one of `result`, and may be null: nothing to show.
  void set_table(std::shared_ptr<const AnalysisResult> result, const Table* table);
  const Table* table() const { return table_; }
  /// The layer and expert of a row, where the table's key has them.
  Cell cell_of(int row) const;
  /// Row of a layer, or of a cell; -1: none.
  int row_of(Cell cell) const;

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

 private:
  std::shared_ptr<const AnalysisResult> result_;
  const Table* table_ = nullptr;
};

/// A value of a column as people read it: shares in percent, an en dash where there is none.
QString column_text(const Column& column, std::size_t row);
/// The same with all digits.
QString column_details(const Column& column, std::size_t row);

}  // namespace expertscope
