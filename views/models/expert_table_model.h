// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractTableModel>
#include <memory>
#include <vector>

#include "views/models/trace_view.h"

namespace expertscope {

/// The routing map as a table: one row per (MoE layer, expert), the shared one first. DisplayRole carries
/// text, kSortRole the raw number. With a baseline two columns more per compared number, behind the others:
/// its value there, and this run's minus it.
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

  /// Null empties the table. Rows keep their identity when only numbers changed. A baseline of another shape
  /// is left out.
  void set_snapshot(std::shared_ptr<const RunSnapshot> snapshot,
                    std::shared_ptr<const ExpertTable> baseline = nullptr, std::int64_t baseline_run = 0);
  /// The column whose number a baseline's column belongs to; its own for the others.
  static int compared_column(int column);
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
  void list_rows();
  /// With the columns' coming and going announced.
  void set_baseline(std::shared_ptr<const ExpertTable> baseline, std::int64_t run);
  void keep_baseline(std::shared_ptr<const ExpertTable> baseline, std::int64_t run);

  struct Row {
    Cell cell;
    std::size_t load = 0;  ///< of its layer among those of the load
  };

  std::shared_ptr<const RunSnapshot> snapshot_;
  std::vector<Row> rows_;  ///< by layer, then expert
  std::shared_ptr<const ExpertTable> baseline_;
  std::vector<std::int64_t> baseline_slots_;  ///< per layer: sorting asks for the share of every cell
  std::int64_t baseline_run_ = 0;
};

}  // namespace expertscope
