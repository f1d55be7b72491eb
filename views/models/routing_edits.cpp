// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/routing_edits.h"

#include <QUndoCommand>
#include <algorithm>
#include <cmath>

#include "views/models/plain_text.h"

namespace expertscope {

/// One change of the list: the policy before and after, both compiled. Small enough to keep whole.
class PolicyCommand final : public QUndoCommand {
 public:
  struct State {
    RoutingPolicy policy;
    std::shared_ptr<const RoutingTable> table;
  };

  PolicyCommand(RoutingEdits& edits, State before, State after, const QString& text)
      : QUndoCommand(text), edits_(edits), before_(std::move(before)), after_(std::move(after)) {}

  void undo() override { edits_.install(before_.policy, before_.table); }
  void redo() override { edits_.install(after_.policy, after_.table); }

 private:
  RoutingEdits& edits_;
  State before_;
  State after_;
};

namespace {

/// True when `next` makes `old` pointless: the same kind of edit of the same expert in the same layers.
bool replaces(const RoutingEdit& next, const RoutingEdit& old) {
  if (next.action.index() != old.action.index() || next.layers != old.layers || !old.enabled) return false;
  return acting_expert(next) == acting_expert(old);
}

}  // namespace

RoutingEdits::RoutingEdits(QObject* parent) : QAbstractListModel(parent) {
  undo_stack_.setUndoLimit(1000);
}

void RoutingEdits::set_config(std::optional<ModelConfig> config) {
  config_ = std::move(config);
  undo_stack_.clear();
  std::shared_ptr<const RoutingTable> table;
  if (config_) {
    const auto compiled = RoutingPolicy{}.compile(*config_);
    if (compiled) table = *compiled;
  }
  install(RoutingPolicy{}, std::move(table));
}

EditMarks RoutingEdits::marks() const {
  if (!config_) return {};
  return EditMarks(policy_, config_->moe_layers(), config_->num_experts());
}

Status RoutingEdits::push(RoutingPolicy next, const QString& text) {
  if (!config_) {
    Error error{ErrorCode::invalid_argument,
                "Edits need a model: open the model folder this trace was recorded from."};
    Q_EMIT refused(error);
    return tl::unexpected(std::move(error));
  }
  auto table = next.compile(*config_);
  if (!table) {
    Q_EMIT refused(table.error());
    return forward_error(table);
  }
  undo_stack_.push(new PolicyCommand(*this, {policy_, table_}, {std::move(next), std::move(*table)}, text));
  return {};
}

void RoutingEdits::install(const RoutingPolicy& policy, std::shared_ptr<const RoutingTable> table) {
  // As many edits as before: a switch, or one in place of another. Views keep their current row.
  const bool same_rows = policy.edits.size() == policy_.edits.size();
  if (!same_rows) beginResetModel();
  policy_ = policy;
  table_ = std::move(table);
  if (!same_rows) endResetModel();
  if (same_rows && rowCount() > 0) Q_EMIT dataChanged(index(0), index(rowCount() - 1));
  Q_EMIT policy_changed();
}

Status RoutingEdits::add(RoutingEdit edit) {
  RoutingPolicy next = policy_;
  std::erase_if(next.edits, [&](const RoutingEdit& old) { return replaces(edit, old); });
  const QString text = QString::fromStdString(edit.describe());
  next.edits.push_back(std::move(edit));
  return push(std::move(next), text);
}

Status RoutingEdits::remove(int row) {
  if (row < 0 || row >= rowCount()) return fail(ErrorCode::invalid_argument, "there is no edit {}", row);
  RoutingPolicy next = policy_;
  const auto at = next.edits.begin() + row;
  const QString text = tr("remove: %1").arg(QString::fromStdString(at->describe()));
  next.edits.erase(at);
  return push(std::move(next), text);
}

Status RoutingEdits::set_enabled(int row, bool enabled) {
  if (row < 0 || row >= rowCount()) return fail(ErrorCode::invalid_argument, "there is no edit {}", row);
  RoutingPolicy next = policy_;
  RoutingEdit& edit = next.edits[row];
  if (edit.enabled == enabled) return {};
  edit.enabled = enabled;
  const QString text =
      (enabled ? tr("switch on: %1") : tr("switch off: %1")).arg(QString::fromStdString(edit.describe()));
  return push(std::move(next), text);
}

Status RoutingEdits::remove_on(Cell cell) {
  RoutingPolicy next = policy_;
  std::erase_if(next.edits,
                [&](const RoutingEdit& edit) { return edit.layers.size() == 1 && edit_touches(edit, cell); });
  if (next.edits.size() == policy_.edits.size()) return {};
  return push(std::move(next), tr("remove edits of expert %1 in layer %2").arg(cell.expert).arg(cell.layer));
}

Status RoutingEdits::clear() {
  if (policy_.empty()) return {};
  return push(RoutingPolicy{}, tr("remove all edits"));
}

Status RoutingEdits::replace(RoutingPolicy policy, const QString& what) {
  return push(std::move(policy), what);
}

void RoutingEdits::set_saved(const RoutingPolicy& policy) {
  // It may have been edited while it was being written.
  if (policy.to_text() == policy_.to_text()) undo_stack_.setClean();
}

bool RoutingEdits::any_enabled() const {
  return std::any_of(policy_.edits.begin(), policy_.edits.end(),
                     [](const RoutingEdit& edit) { return edit.enabled; });
}

bool RoutingEdits::has_edit_on(Cell cell) const {
  return std::any_of(policy_.edits.begin(), policy_.edits.end(), [&](const RoutingEdit& edit) {
    return edit.layers.size() == 1 && edit_touches(edit, cell);
  });
}

int RoutingEdits::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(policy_.edits.size());
}

QVariant RoutingEdits::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) return {};
  const RoutingEdit& edit = policy_.edits[index.row()];
  switch (role) {
    case Qt::DisplayRole:
      return QString::fromStdString(edit.describe());
    case Qt::ToolTipRole:
      return plain_tooltip(QString::fromStdString(edit.note.empty() ? edit.describe() : edit.note));
    case Qt::CheckStateRole:
      return static_cast<int>(edit.enabled ? Qt::Checked : Qt::Unchecked);
    case kEnabledRole:
      return edit.enabled;
    case kLayerRole:
      return edit.layers.empty() ? -1 : edit.layers.front();
    case kExpertRole:
      return acting_expert(edit);
    default:
      return {};
  }
}

bool RoutingEdits::setData(const QModelIndex& index, const QVariant& value, int role) {
  if (!index.isValid() || role != Qt::CheckStateRole) return false;
  return set_enabled(index.row(), value.toInt() == Qt::Checked).has_value();
}

Qt::ItemFlags RoutingEdits::flags(const QModelIndex& index) const {
  if (!index.isValid()) return Qt::NoItemFlags;
  Qt::ItemFlags flags = Qt::ItemIsEnabled | Qt::ItemIsSelectable | Qt::ItemNeverHasChildren;
  if (editable()) flags |= Qt::ItemIsUserCheckable;
  return flags;
}

QHash<int, QByteArray> RoutingEdits::roleNames() const {
  auto names = QAbstractListModel::roleNames();
  names.insert(kEnabledRole, "enabled");
  names.insert(kLayerRole, "layer");
  names.insert(kExpertRole, "expert");
  return names;
}

}  // namespace expertscope
