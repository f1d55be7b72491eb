// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractListModel>
#include <memory>
#include <vector>

#include "probes/store/run_info.h"

namespace expertscope {

/// The runs of the open trace, newest first.
class RunListModel final : public QAbstractListModel {
  Q_OBJECT
 public:
  enum Role { kRunRole = Qt::UserRole + 1, kStatusRole };

  using QAbstractListModel::QAbstractListModel;

  void set_runs(std::shared_ptr<const std::vector<RunInfo>> runs);
  /// 0: none.
  std::int64_t run_at(int row) const;
  int row_of(std::int64_t run) const;

  int rowCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;

 private:
  std::shared_ptr<const std::vector<RunInfo>> runs_;
};

/// Everything about a run, as rich text for a tooltip.
QString run_details(const RunInfo& run);

}  // namespace expertscope
