// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QByteArray>
#include <QList>
#include <QObject>
#include <QString>
#include <optional>

#include "views/window/frame_sizes.h"
#include "views/window/view_list.h"

class QAction;
class QDockWidget;
class QMainWindow;
class QSettings;
class QTabBar;

namespace expertscope {

class ViewTabs;

/// Where the views stand: tabs over the map, one column at the right, the text below. Makes and places what
/// view_rows() lists and knows none of them.
class Frame final : public QObject {
  Q_OBJECT
 public:
  /// Makes every view. The window shows main() in its middle. `context` and `settings` outlive the frame.
  Frame(QMainWindow& window, ViewContext& context, QSettings& settings);

  QWidget* main();
  /// The arrangements, as a bar of tabs.
  QWidget* preset_bar();
  /// One a view, which brings it to the front, then one an arrangement.
  QList<QAction*> view_actions() const { return view_actions_; }
  /// Which panels are there, and whether they can be moved.
  QList<QAction*> window_actions() const { return window_actions_; }

  void raise(const QString& id);
  void raise(QWidget* view);
  /// Without content nothing but the window's middle is there; with it everything is as it was.
  void set_content(bool content);
  /// The window has another size.
  void fit();
  void restore_default();
  /// What restore() takes in another session.
  QByteArray state() const;
  void restore(const QByteArray& state);

 private:
  struct Panel {
    const ViewRow* row;
    QWidget* view;
    QDockWidget* dock;  ///< null: a tab of main()
  };
  void make_views(ViewContext& context);
  void make_actions();
  void place_docks();
  void use_preset(int index);
  void set_locked(bool locked);
  void follow_title(const Panel& panel);
  void show_details();
  void divide_column();
  void show_column(bool visible);
  void set_corner();
  void apply_sizes();
  /// The first panel of an area.
  QDockWidget* head(ViewArea area) const;

  QMainWindow& window_;
  QSettings& settings_;
  QList<Panel> panels_;
  ViewTabs* tabs_;
  QTabBar* presets_;
  QAction* column_;
  QList<QAction*> view_actions_;
  QList<QAction*> window_actions_;
  bool content_ = true;
  std::optional<FrameSizes> fitted_;
  QByteArray default_state_;
  QByteArray hidden_state_;  ///< of the panels while there is no content
};

}  // namespace expertscope
