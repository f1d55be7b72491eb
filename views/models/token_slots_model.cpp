// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/token_slots_model.h"

#include <array>

#include "views/models/numbers.h"

namespace expertscope {

void TokenSlotsModel::set_detail(std::shared_ptr<const TokenDetail> detail) {
  beginResetModel();
  detail_ = std::move(detail);
  endResetModel();
}

Cell TokenSlotsModel::cell_of(int row) const {
  if (row < 0 || row >= rowCount()) return {};
  const SlotRow& slot = detail_->slots[row];
  return {slot.layer, slot.expert};
}

int TokenSlotsModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() || !detail_ ? 0 : static_cast<int>(detail_->slots.size());
}

int TokenSlotsModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : kColumns;
}

QVariant TokenSlotsModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) return {};
  if (role == Qt::TextAlignmentRole) return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
  if (role != Qt::DisplayRole && role != Qt::ToolTipRole) return {};
  const SlotRow& slot = detail_->slots[index.row()];
  const auto real = [role](float value) {
    return role == Qt::ToolTipRole ? all_digits(value) : number_text(static_cast<double>(value));
  };
  const bool measured = slot.output_channel >= 0;
  const bool routed = slot.expert != kSharedExpert;
  const QString nothing = QStringLiteral("–");
  switch (index.column()) {
    case kLayer:
      return QString::number(slot.layer);
    case kExpert:
      return expert_number_text(slot.expert);
    case kProbability:
      return routed ? real(slot.probability) : nothing;
    case kWeight:
      return routed ? real(slot.weight) : nothing;
    case kNorm:
      return measured ? real(slot.output_norm) : nothing;
    case kOutputMax:
      return measured ? real(slot.output_max) : nothing;
    case kChannel:
      return measured ? QString::number(slot.output_channel) : nothing;
    default:
      return {};
  }
}

QVariant TokenSlotsModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (role != Qt::DisplayRole || orientation != Qt::Horizontal || section < 0 || section >= kColumns)
    return {};
  const std::array<QString, kColumns> titles = {tr("Layer"), tr("Expert"), tr("Score"), tr("Weight"),
                                                tr("Norm"),  tr("Max"),    tr("Ch.")};
  return titles[section];
}

}  // namespace expertscope
