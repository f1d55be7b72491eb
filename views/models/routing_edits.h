// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractListModel>
#include <QUndoStack>
#include <optional>

#include "engine/model/config.h"
#include "engine/run/routing_policy.h"
#include "views/models/edit_marks.h"

namespace expertscope {

/// The edits a person made, as a checkable list (checked = enabled). Every change is a command on the undo
/// stack, and none gets there that would not compile for the model: what is listed is in force.
class RoutingEdits final : public QAbstractListModel {
  Q_OBJECT
 public:
  enum Role { kEnabledRole = Qt::UserRole + 1, kLayerRole, kExpertRole };

  explicit RoutingEdits(QObject* parent = nullptr);

  /// The model edits apply to; forgets all edits and the undo history. Null: nothing can be edited.
  void set_config(std::optional<ModelConfig> config);
  bool editable() const { return config_.has_value(); }

  const RoutingPolicy& policy() const { return policy_; }
  /// The policy as a backend reads it; never null while editable.
  std::shared_ptr<const RoutingTable> table() const { return table_; }
  EditMarks marks() const;
  QUndoStack& undo_stack() { return undo_stack_; }

  /// Appends an edit, replacing an enabled one that says the same kind of thing about the same cell. The
  /// error says why the model would not run with it (too few experts left, no such layer).
  Status add(RoutingEdit edit);
  Status remove(int row);
  Status set_enabled(int row, bool enabled);
  /// Removes every edit that names just this cell.
  Status remove_on(Cell cell);
  Status clear();
  /// Replaces the whole list: a policy file was opened.
  Status replace(RoutingPolicy policy, const QString& what);

  /// A file holds this policy now.
  void set_saved(const RoutingPolicy& policy);
  /// There are edits that no file holds: closing the model would lose them.
  bool has_unsaved() const { return !policy_.empty() && !undo_stack_.isClean(); }

  /// Whether the policy changes anything.
  bool any_enabled() const;
  bool has_edit_on(Cell cell) const;

  int rowCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role) const override;
  bool setData(const QModelIndex& index, const QVariant& value, int role) override;
  Qt::ItemFlags flags(const QModelIndex& index) const override;
  QHash<int, QByteArray> roleNames() const override;

 Q_SIGNALS:
  /// The policy in force changed; the table is compiled already.
  void policy_changed();
  /// A change was refused; shown to the person.
  void refused(const expertscope::Error& error);

 private:
  friend class PolicyCommand;
  Status push(RoutingPolicy next, const QString& text);
  void install(const RoutingPolicy& policy, std::shared_ptr<const RoutingTable> table);

  std::optional<ModelConfig> config_;
  RoutingPolicy policy_;
  std::shared_ptr<const RoutingTable> table_;
  QUndoStack undo_stack_;
};

}  // namespace expertscope
