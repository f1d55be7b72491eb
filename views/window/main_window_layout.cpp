// SPDX-License-Identifier: GPL-3.0-or-later
#include <QActionGroup>
#include <QDockWidget>
#include <QFileInfo>
#include <QLabel>
#include <QMenu>
#include <QMenuBar>
#include <QSplitter>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTabWidget>

#include "views/models/plain_text.h"
#include "views/models/workspace.h"
#include "views/widgets/compare_view.h"
#include "views/widgets/edits_panel.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/generation_panel.h"
#include "views/widgets/heatmap_panel.h"
#include "views/widgets/inspector.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/opening_progress.h"
#include "views/widgets/outlier_chart.h"
#include "views/widgets/runs_panel.h"
#include "views/widgets/start_page.h"
#include "views/widgets/table_panel.h"
#include "views/widgets/token_panel.h"
#include "views/window/backend_menu.h"
#include "views/window/main_window.h"
#include "views/window/shortcut_sheet.h"
#include "views/window/theme.h"

namespace expertscope {
namespace {

const QString kThemeKey = QStringLiteral("window/theme");

}  // namespace

// What the window is made of: panels, docks and menus. Behaviour is in main_window.cpp.

void MainWindow::make_central() {
  heatmap_ = new HeatmapPanel(workspace_);
  outliers_ = new OutlierChart(workspace_);
  table_ = new TablePanel(workspace_);
  compare_ = new CompareView(workspace_);
  tabs_ = new QTabWidget;
  tabs_->setObjectName(QStringLiteral("tabs"));
  tabs_->setDocumentMode(true);
  tabs_->addTab(outliers_, tr("Outliers"));
  tabs_->addTab(compare_, tr("Compare"));
  tabs_->addTab(table_, tr("Table"));
  middle_ = new QSplitter(Qt::Vertical);
  middle_->setChildrenCollapsible(false);
  middle_->addWidget(heatmap_);
  middle_->addWidget(tabs_);
  middle_->setStretchFactor(0, 3);
  middle_->setStretchFactor(1, 2);
  auto* start = new StartPage(workspace_, {actions_.open_model, actions_.open_trace, actions_.open_demo});
  pages_ = new QStackedWidget;
  pages_->addWidget(start);
  pages_->addWidget(middle_);
  setCentralWidget(pages_);
  banner_ = new MessageBanner(pages_);
  connect(pages_, &QStackedWidget::currentChanged, banner_, &QWidget::raise);
}

void MainWindow::make_status_bar() {
  opening_ = new OpeningProgress;
  summary_ = new QLabel;
  summary_->setObjectName(QStringLiteral("summary"));
  summary_->setTextFormat(Qt::PlainText);  // names come from files
  statusBar()->addPermanentWidget(opening_, 1);
  statusBar()->addPermanentWidget(summary_);
}

QDockWidget* MainWindow::add_dock(const char* name, const QString& title, QWidget* content,
                                  Qt::DockWidgetArea area) {
  auto* dock = new QDockWidget(title);
  dock->setObjectName(QLatin1String(name));
  dock->setWidget(content);
  addDockWidget(area, dock);
  docks_ << dock;
  return dock;
}

void MainWindow::make_docks() {
  setDockOptions(QMainWindow::AnimatedDocks | QMainWindow::AllowNestedDocks | QMainWindow::AllowTabbedDocks);
  setCorner(Qt::BottomLeftCorner, Qt::BottomDockWidgetArea);
  setCorner(Qt::BottomRightCorner, Qt::BottomDockWidgetArea);
  add_dock("runs_dock", tr("Runs"), new RunsPanel(workspace_), Qt::LeftDockWidgetArea);
  QAction* undo = workspace_.edits().undo_stack().createUndoAction(this, tr("Undo"));
  QAction* redo = workspace_.edits().undo_stack().createRedoAction(this, tr("Redo"));
  undo->setProperty(kCommandProperty, tr("Undo"));
  redo->setProperty(kCommandProperty, tr("Redo"));
  undo->setObjectName(QStringLiteral("undo"));
  redo->setObjectName(QStringLiteral("redo"));
  undo->setShortcut(QKeySequence::Undo);
  // Both in use, whatever the platform calls its own.
  redo->setShortcuts({QKeySequence(tr("Ctrl+Shift+Z")), QKeySequence(tr("Ctrl+Y"))});
  addAction(undo);
  addAction(redo);
  add_dock("edits_dock", tr("Edits"),
           new EditsPanel(workspace_, {undo, redo, actions_.load_policy, actions_.save_policy}),
           Qt::LeftDockWidgetArea);
  inspector_dock_ = add_dock("inspector_dock", tr("Inspector"), new Inspector(workspace_, *expert_actions_),
                             Qt::RightDockWidgetArea);
  token_dock_ = add_dock("token_dock", tr("Token"), new TokenPanel(workspace_), Qt::RightDockWidgetArea);
  tabifyDockWidget(inspector_dock_, token_dock_);
  inspector_dock_->raise();
  generation_ = new GenerationPanel(workspace_);
  add_dock("generation_dock", tr("Generation"), generation_, Qt::BottomDockWidgetArea);
  size_docks();
}

/// Also one above the other: what their lists would like depends on what is in them.
void MainWindow::size_docks() {
  resizeDocks({docks_[0], inspector_dock_}, {230, 345}, Qt::Horizontal);
  resizeDocks({docks_[0], docks_[1]}, {200, 300}, Qt::Vertical);
  resizeDocks({docks_.back()}, {250}, Qt::Vertical);
}

void MainWindow::make_menus() {
  make_file_menu();
  make_edit_menu();
  make_view_menu();
  QMenu* run = menuBar()->addMenu(tr("&Run"));
  run->addActions({actions_.generate, actions_.stop, actions_.edit_prompt});
  run->addSeparator();
  run->addAction(actions_.compare);
  run->addSeparator();
  run->addMenu(new BackendMenu(workspace_.backend(), this));
  QMenu* window = menuBar()->addMenu(tr("&Window"));
  for (QDockWidget* dock : docks_) {
    window->addAction(dock->toggleViewAction());
  }
  window->addSeparator();
  window->addAction(actions_.restore_layout);
  QMenu* help = menuBar()->addMenu(tr("&Help"));
  help->addActions({actions_.shortcuts, actions_.about});
}

void MainWindow::make_file_menu() {
  QMenu* file = menuBar()->addMenu(tr("&File"));
  file->addActions({actions_.open_model, actions_.open_gguf, actions_.open_trace, actions_.open_demo});
  recent_menu_ = file->addMenu(tr("Open &recent"));
  recent_menu_->setObjectName(QStringLiteral("recent"));
  fill_recent_menu();
  file->addSeparator();
  file->addAction(actions_.save_trace);
  QMenu* exports = file->addMenu(tr("&Export"));
  exports->addActions(
      {actions_.export_report, actions_.export_csv, actions_.export_json, actions_.export_picture});
  file->addSeparator();
  file->addActions({actions_.load_policy, actions_.save_policy});
  file->addSeparator();
  file->addActions({actions_.close, actions_.quit});
}

void MainWindow::make_edit_menu() {
  QMenu* edit = menuBar()->addMenu(tr("&Edit"));
  edit->addAction(findChild<QAction*>(QStringLiteral("undo")));
  edit->addAction(findChild<QAction*>(QStringLiteral("redo")));
  edit->addSeparator();
  edit->addActions(expert_actions_->all());
  edit->addSeparator();
  edit->addActions({actions_.clear_edits, actions_.copy_picture});
}

void MainWindow::make_view_menu() {
  QMenu* view = menuBar()->addMenu(tr("&View"));
  view->addActions(actions_.metrics);
  view->addSeparator();
  view->addActions({actions_.zoom_in, actions_.zoom_out, actions_.fit});
  view->addSeparator();
  view->addAction(actions_.clear_range);
  view->addSeparator();
  make_theme_menu(*view->addMenu(tr("T&heme")));
}

void MainWindow::make_theme_menu(QMenu& menu) {
  auto* group = new QActionGroup(this);
  const int chosen = workspace_.settings().value(kThemeKey, static_cast<int>(Theme::system)).toInt();
  const std::pair<Theme, QString> themes[] = {
      {Theme::system, tr("&System")}, {Theme::light, tr("&Light")}, {Theme::dark, tr("&Dark")}};
  for (const auto& [theme, name] : themes) {
    QAction* action = menu.addAction(name);
    action->setObjectName(QStringLiteral("theme_%1").arg(static_cast<int>(theme)));
    action->setCheckable(true);
    action->setChecked(chosen == static_cast<int>(theme));
    group->addAction(action);
    connect(action, &QAction::triggered, this, [this, theme = theme] {
      workspace_.settings().setValue(kThemeKey, static_cast<int>(theme));
      apply_theme(theme);
    });
  }
  if (chosen != static_cast<int>(Theme::system)) apply_theme(static_cast<Theme>(chosen));
}

void MainWindow::fill_recent_menu() {
  recent_menu_->clear();
  for (const QString& path : workspace_.recent().paths()) {
    QAction* action = recent_menu_->addAction(visible(QFileInfo(path).fileName()));
    action->setStatusTip(visible(path));
    connect(action, &QAction::triggered, this, [this, path] { open_path(path); });
  }
  recent_menu_->setEnabled(!workspace_.recent().paths().isEmpty());
}

void MainWindow::restore_default_layout() {
  restoreState(default_state_);
  middle_->setSizes({3000, 2000});
  for (QDockWidget* dock : docks_) {
    dock->show();
  }
  size_docks();
}

}  // namespace expertscope
