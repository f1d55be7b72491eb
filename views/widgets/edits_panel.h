// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QAction;
class QLabel;
class QListView;

namespace expertscope {

class Subject;
struct ViewContext;

/// The edits in force: switched on and off by their check box, removed, undone, saved and loaded.
class EditsPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit EditsPanel(ViewContext& context);
  /// `actions` become the tool bar (undo, redo, load, save ...).
  EditsPanel(Subject& subject, const QList<QAction*>& actions, QWidget* parent = nullptr);

  QListView& list() { return *list_; }

 public Q_SLOTS:
  void remove_current();

 private:
  void update_state();

  Subject& subject_;
  QListView* list_;
  QLabel* empty_;
};

}  // namespace expertscope
