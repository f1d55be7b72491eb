// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAction>
#include <QList>
#include <QObject>
#include <functional>

#include "engine/run/routing_policy.h"
#include "views/models/selection.h"

class QMenu;
class QWidget;

namespace expertscope {

class Subject;

/// What a person can do to the selected expert: the same actions in the Edit menu, on the map's context menu
/// and on the buttons of the expert page. What is in force is checked, and doing it again changes nothing.
class ExpertActions final : public QObject {
  Q_OBJECT
 public:
  /// `window` is the parent of dialogs.
  ExpertActions(Subject& subject, QWidget* window);

  QAction* prune(PruneMode mode) const;
  QAction* reroute() const { return reroute_; }
  QAction* boost() const { return boost_; }
  QAction* suppress() const { return suppress_; }
  QAction* force() const { return force_; }
  QAction* remove() const { return remove_; }
  QList<QAction*> all() const;

  /// Fills a menu with all of them and the targets of a reroute; the title names the selected expert.
  void fill_menu(QMenu& menu);

  /// Shows all about the selected expert.
  void open_page() { Q_EMIT page_wanted(); }
  /// Reroutes the slots of `from` in a layer.
  void reroute_to(int layer, int from, int to);

 Q_SIGNALS:
  /// The target of a reroute is to be picked on the map.
  void pick_wanted();
  /// The page of the selected expert is to come to the front.
  void page_wanted();

 private:
  QAction* make(const QString& name, const QString& text, const QString& tip, const QKeySequence& key);
  void make_prune_actions();
  void connect_actions();
  void add(const RoutingEdit& edit);
  /// What `action` does, unless it is in force.
  void connect_edit(QAction* action, std::function<void()> edit);
  void add_bias(float logit);
  /// Row of the cell's bias when it is the only one in force and of this cell alone; else -1.
  int only_bias(Cell cell) const;
  void ask_bias();
  void fill_reroute_menu(QMenu& menu);
  void fill_bias_menu(QMenu& menu);
  static QString why_not_routed();
  void update_state();

  Subject& subject_;
  QWidget* window_;
  QAction* prune_mask_;
  QAction* prune_zero_;
  QAction* prune_drop_;
  QAction* reroute_;
  QAction* boost_;
  QAction* suppress_;
  QAction* other_bias_;
  QAction* force_;
  QAction* remove_;
};

}  // namespace expertscope
