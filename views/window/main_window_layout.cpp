// SPDX-License-Identifier: GPL-3.0-or-later
#include <QActionGroup>
#include <QFileInfo>
#include <QLabel>
#include <QMenu>
#include <QMenuBar>
#include <QStackedWidget>
#include <QStatusBar>
#include <algorithm>

#include "views/models/plain_text.h"
#include "views/models/workbench.h"
#include "views/widgets/elided_label.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/opening_progress.h"
#include "views/widgets/start_page.h"
#include "views/window/backend_menu.h"
#include "views/window/frame.h"
#include "views/window/main_window.h"
#include "views/window/theme.h"

namespace expertscope {
namespace {

const QString kThemeKey = QStringLiteral("window/theme");
constexpr int kStatusHeight = 24;  // pixels

}  // namespace

// What the window is made of besides its views. Behaviour is in main_window.cpp.

void MainWindow::make_central() {
  auto* start = new StartPage(workbench_.recent(), workbench_.interrupted(),
                              {commands_.open_model, commands_.open_gguf, commands_.open_cached,
                               commands_.open_trace, commands_.open_demo});
  connect(start, &StartPage::open_wanted, this, &MainWindow::open_path);
  pages_ = new QStackedWidget;
  pages_->addWidget(start);
  pages_->addWidget(frame_->main());
  setCentralWidget(pages_);
  banner_ = new MessageBanner(pages_);
  connect(pages_, &QStackedWidget::currentChanged, banner_, &QWidget::raise);
}

void MainWindow::make_status_bar() {
  reading_->setObjectName(QStringLiteral("map_reading"));
  opening_ = new OpeningProgress;
  summary_ = new QLabel;
  summary_->setObjectName(QStringLiteral("summary"));
  rate_ = new QLabel;
  rate_->setObjectName(QStringLiteral("rate"));
  rate_->setToolTip(
      tr("What the engine reaches; the pause after each token that keeps the pace is not counted"));
  for (QLabel* label : {summary_, rate_}) {
    label->setTextFormat(Qt::PlainText);  // names come from files
  }
  statusBar()->setSizeGripEnabled(false);
  statusBar()->setContentsMargins(6, 0, 8, 0);
  statusBar()->setFixedHeight(std::max(kStatusHeight, statusBar()->fontMetrics().height() + 10));
  statusBar()->addWidget(reading_, 1);
  statusBar()->addPermanentWidget(opening_, 1);
  statusBar()->addPermanentWidget(summary_);
  statusBar()->addPermanentWidget(rate_);
}

void MainWindow::make_menus() {
  make_file_menu();
  make_edit_menu();
  make_view_menu();
  QMenu* run = menuBar()->addMenu(tr("&Run"));
  run->addActions({commands_.generate, commands_.stop, commands_.edit_prompt});
  run->addSeparator();
  run->addAction(commands_.compare);
  run->addSeparator();
  run->addMenu(new BackendMenu(workbench_.backend(), this));
  QMenu* window = menuBar()->addMenu(tr("&Window"));
  window->addActions(frame_->window_actions());
  QMenu* help = menuBar()->addMenu(tr("&Help"));
  help->addActions({commands_.shortcuts, commands_.about});
  menuBar()->setCornerWidget(frame_->preset_bar());
}

void MainWindow::make_file_menu() {
  QMenu* file = menuBar()->addMenu(tr("&File"));
  file->addActions({commands_.open_model, commands_.open_gguf, commands_.open_cached, commands_.open_trace,
                    commands_.open_demo});
  recent_menu_ = file->addMenu(tr("Open &recent"));
  recent_menu_->setObjectName(QStringLiteral("recent"));
  fill_recent_menu();
  file->addSeparator();
  file->addAction(commands_.save_trace);
  QMenu* exports = file->addMenu(tr("&Export"));
  exports->addActions(
      {commands_.export_report, commands_.export_csv, commands_.export_json, commands_.export_picture});
  file->addSeparator();
  file->addActions({commands_.load_policy, commands_.save_policy});
  file->addSeparator();
  file->addActions({commands_.close, commands_.quit});
}

void MainWindow::make_edit_menu() {
  QMenu* edit = menuBar()->addMenu(tr("&Edit"));
  edit->addActions({commands_.undo, commands_.redo});
  edit->addSeparator();
  edit->addActions(expert_actions_->all());
  edit->addSeparator();
  edit->addActions({commands_.clear_edits, commands_.copy_picture});
}

void MainWindow::make_view_menu() {
  QMenu* view = menuBar()->addMenu(tr("&View"));
  view->addActions(frame_->view_actions());
  view->addSeparator();
  view->addActions(commands_.metrics);
  view->addSeparator();
  view->addActions({commands_.zoom_in, commands_.zoom_out, commands_.fit});
  view->addSeparator();
  view->addAction(commands_.clear_range);
  view->addSeparator();
  make_theme_menu(*view->addMenu(tr("T&heme")));
}

void MainWindow::make_theme_menu(QMenu& menu) {
  auto* group = new QActionGroup(this);
  const int chosen = workbench_.settings().value(kThemeKey, static_cast<int>(Theme::system)).toInt();
  const std::pair<Theme, QString> themes[] = {
      {Theme::system, tr("&System")}, {Theme::light, tr("&Light")}, {Theme::dark, tr("&Dark")}};
  for (const auto& [theme, name] : themes) {
    QAction* action = menu.addAction(name);
    action->setObjectName(QStringLiteral("theme_%1").arg(static_cast<int>(theme)));
    action->setCheckable(true);
    action->setChecked(chosen == static_cast<int>(theme));
    group->addAction(action);
    connect(action, &QAction::triggered, this, [this, theme = theme] {
      workbench_.settings().setValue(kThemeKey, static_cast<int>(theme));
      apply_theme(theme);
    });
  }
  apply_theme(static_cast<Theme>(chosen));
}

void MainWindow::fill_recent_menu() {
  recent_menu_->clear();
  for (const QString& path : workbench_.recent().paths()) {
    QAction* action = recent_menu_->addAction(visible(QFileInfo(path).fileName()));
    action->setStatusTip(visible(path));
    connect(action, &QAction::triggered, this, [this, path] { open_path(path); });
  }
  recent_menu_->setEnabled(!workbench_.recent().paths().isEmpty());
}

}  // namespace expertscope
