// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractTableModel>
#include <memory>

#include "views/models/trace_view.h"

namespace expertscope {

/// What one token did in every MoE layer: one row per slot.
class TokenSlotsModel final : public QAbstractTableModel {
  Q_OBJECT
 public:
  enum Column { kLayer, kExpert, kProbability, kWeight, kNorm, kOutputMax, kChannel, kColumns };

  using QAbstractTableModel::QAbstractTableModel;

  void set_detail(std::shared_ptr<const TokenDetail> detail);
  Cell cell_of(int row) const;

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

 private:
  std::shared_ptr<const TokenDetail> detail_;
};

}  // namespace expertscope
