// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/frame.h"

#include <QAction>
#include <QCoreApplication>
#include <QDockWidget>
#include <QMainWindow>
#include <QSettings>
#include <QStackedWidget>
#include <QTabBar>
#include <algorithm>
#include <cstring>

#include "views/window/view_tabs.h"

namespace expertscope {
namespace {

const QString kUnlockedKey = QStringLiteral("window/unlocked");
constexpr int kStateVersion = 2;  // of the docks and their names
// Pixels.
constexpr int kTabs = 28;  // of the menus, and of tabs
constexpr int kStatusBar = 24;
constexpr int kSeparator = 3;

QString title_of(const char* title) {
  return QCoreApplication::translate("View", title);
}

/// There only while something is selected.
bool comes_and_goes(const ViewRow& row) {
  return row.area == ViewArea::details;
}

/// In front of a preset other than the first, which shows all that are in front of none.
bool leads_a_preset(const char* id) {
  return std::any_of(presets().begin(), presets().end(), [id](const Preset& preset) {
    return preset.views[0] != nullptr && std::strcmp(preset.views[0], id) == 0;
  });
}

QStringList views_of(const Preset& preset) {
  QStringList ids;
  for (const char* id : preset.views) {
    if (id != nullptr) ids << QLatin1String(id);
  }
  if (!ids.isEmpty()) return ids;
  for (const ViewRow& row : view_rows()) {
    if (row.area == ViewArea::main && !leads_a_preset(row.id)) ids << QLatin1String(row.id);
  }
  return ids;
}

}  // namespace

Frame::Frame(QMainWindow& window, ViewContext& context, QSettings& settings)
    : QObject(&window),
      window_(window),
      settings_(settings),
      tabs_(new ViewTabs),
      presets_(new QTabBar),
      column_(new QAction(tr("Side &column"), &window)) {
  window.setDockOptions(QMainWindow::AllowNestedDocks | QMainWindow::AllowTabbedDocks);
  window.setDocumentMode(true);
  window.setTabPosition(Qt::AllDockWidgetAreas, QTabWidget::North);
  window.setMinimumSize(kSmallestWindow);
  make_views(context);
  place_docks();
  presets_->setObjectName(QStringLiteral("presets"));
  presets_->setAccessibleName(tr("Arrangements"));
  presets_->setDocumentMode(true);
  presets_->setDrawBase(false);
  presets_->setExpanding(false);
  for (const Preset& preset : presets()) {
    presets_->addTab(title_of(preset.title));
  }
  connect(presets_, &QTabBar::currentChanged, this, &Frame::use_preset);
  use_preset(0);
  make_actions();
  set_locked(!settings.value(kUnlockedKey, false).toBool());
  for (const Panel& panel : panels_) {
    if (panel.dock != nullptr) follow_title(panel);
  }
  default_state_ = window.saveState(kStateVersion);
}

QWidget* Frame::main() {
  return tabs_;
}

QWidget* Frame::preset_bar() {
  return presets_;
}

void Frame::make_views(ViewContext& context) {
  for (const ViewRow& row : view_rows()) {
    QWidget* view = row.make(context);
    const QString id = QLatin1String(row.id);
    if (row.area == ViewArea::main) {
      tabs_->add(id, title_of(row.title), view);
      panels_.append({&row, view, nullptr});
      continue;
    }
    auto* dock = new QDockWidget(title_of(row.title), &window_);
    dock->setObjectName(id + QStringLiteral("_dock"));
    // Behind another tab a dock is out of sight, but shown all the same: its view would go on working. What
    // takes its place then leaves every size as it is.
    auto* pages = new QStackedWidget;
    pages->addWidget(view);
    pages->addWidget(new QWidget);
    dock->setWidget(pages);
    connect(dock, &QDockWidget::visibilityChanged, pages,
            [pages](bool in_sight) { pages->setCurrentIndex(in_sight ? 0 : 1); });
    panels_.append({&row, view, dock});
  }
}

QDockWidget* Frame::head(ViewArea area) const {
  const auto at = std::find_if(panels_.begin(), panels_.end(),
                               [area](const Panel& panel) { return panel.row->area == area; });
  return at == panels_.end() ? nullptr : at->dock;
}

/// The heads first, one below the other; the others behind them.
void Frame::place_docks() {
  window_.setCorner(Qt::BottomLeftCorner, Qt::BottomDockWidgetArea);
  window_.setCorner(Qt::BottomRightCorner, Qt::BottomDockWidgetArea);
  window_.addDockWidget(Qt::RightDockWidgetArea, head(ViewArea::column));
  window_.addDockWidget(Qt::RightDockWidgetArea, head(ViewArea::details), Qt::Vertical);
  window_.addDockWidget(Qt::BottomDockWidgetArea, head(ViewArea::text));
  for (const Panel& panel : panels_) {
    const ViewArea area = panel.row->area;
    QDockWidget* first = head(area);
    if (panel.dock != nullptr && panel.dock != first) window_.tabifyDockWidget(first, panel.dock);
  }
  for (const ViewArea area : {ViewArea::column, ViewArea::details}) {
    head(area)->raise();
  }
}

void Frame::make_actions() {
  for (const Panel& panel : panels_) {
    auto* action = new QAction(title_of(panel.row->title), &window_);
    action->setObjectName(QStringLiteral("view_") + QLatin1String(panel.row->id));
    action->setShortcut(QKeySequence(QLatin1String(panel.row->shortcut)));
    connect(action, &QAction::triggered, this, [this, id = panel.row->id] { raise(QLatin1String(id)); });
    view_actions_ << action;
    if (panel.dock != nullptr && !comes_and_goes(*panel.row))
      window_actions_ << panel.dock->toggleViewAction();
  }
  auto* separator = new QAction(&window_);
  separator->setSeparator(true);
  view_actions_ << separator;
  for (int index = 0; index < presets_->count(); ++index) {
    auto* action = new QAction(tr("Arrangement: %1").arg(presets_->tabText(index)), &window_);
    action->setShortcut(QKeySequence(QLatin1String(presets()[static_cast<std::size_t>(index)].shortcut)));
    connect(action, &QAction::triggered, presets_, [this, index] { presets_->setCurrentIndex(index); });
    view_actions_ << action;
  }
  column_->setObjectName(QStringLiteral("side_column"));
  column_->setShortcut(QKeySequence(Qt::Key_F9));
  column_->setCheckable(true);
  column_->setChecked(true);
  connect(column_, &QAction::toggled, this, &Frame::show_column);
  auto* unlock = new QAction(tr("&Unlock layout"), &window_);
  unlock->setObjectName(QStringLiteral("unlock_layout"));
  unlock->setStatusTip(tr("Give the panels title bars, by which they can be moved"));
  unlock->setCheckable(true);
  unlock->setChecked(settings_.value(kUnlockedKey, false).toBool());
  connect(unlock, &QAction::toggled, this, [this](bool unlocked) {
    settings_.setValue(kUnlockedKey, unlocked);
    set_locked(!unlocked);
  });
  auto* restore = new QAction(tr("&Restore default layout"), &window_);
  restore->setObjectName(QStringLiteral("restore_layout"));
  restore->setStatusTip(tr("Put every panel back in its place"));
  connect(restore, &QAction::triggered, this, &Frame::restore_default);
  window_actions_ << column_ << unlock << restore;
}

void Frame::show_column(bool visible) {
  for (const Panel& panel : panels_) {
    if (panel.row->area == ViewArea::column) panel.dock->setVisible(visible && content_);
  }
  show_details();
}

void Frame::use_preset(int index) {
  if (index >= 0) tabs_->show_tabs(views_of(presets()[static_cast<std::size_t>(index)]));
}

void Frame::set_locked(bool locked) {
  for (const Panel& panel : panels_) {
    if (panel.dock == nullptr) continue;
    // Closable all the same: the Window menu takes panels away.
    panel.dock->setFeatures(locked ? QDockWidget::DockWidgetClosable
                                   : QDockWidget::DockWidgetClosable | QDockWidget::DockWidgetMovable |
                                         QDockWidget::DockWidgetFloatable);
    QWidget* before = panel.dock->titleBarWidget();
    panel.dock->setTitleBarWidget(locked ? new QWidget(panel.dock) : nullptr);
    delete before;
  }
}

void Frame::follow_title(const Panel& panel) {
  const auto show = [this, panel] {
    const QString title = panel.view->windowTitle();
    panel.dock->setWindowTitle(title.isEmpty() ? title_of(panel.row->title) : title);
    if (!comes_and_goes(*panel.row)) return;
    show_details();
    // What was selected comes to the front, but not from under the mouse: a list of details leads to others.
    const bool used = std::any_of(panels_.begin(), panels_.end(), [this](const Panel& other) {
      return comes_and_goes(*other.row) && other.dock->isAncestorOf(window_.focusWidget());
    });
    if (!title.isEmpty() && !used) panel.dock->raise();
  };
  connect(panel.view, &QWidget::windowTitleChanged, this, show);
  show();
}

/// Details are there while they have something to say.
void Frame::show_details() {
  bool any = false;
  for (const Panel& panel : panels_) {
    if (!comes_and_goes(*panel.row)) continue;
    const bool says = content_ && column_->isChecked() && !panel.view->windowTitle().isEmpty();
    any = any || (says && panel.dock->isHidden());
    panel.dock->setVisible(says);
  }
  if (any) divide_column();
}

/// The lists and what is below them.
void Frame::divide_column() {
  const FrameSizes sizes = frame_sizes(window_.size());
  const int below = window_.height() - 2 * kTabs - sizes.lists - kStatusBar -
                    (sizes.column_goes_down ? 0 : text_height(sizes.text_lines));
  window_.resizeDocks({head(ViewArea::column), head(ViewArea::details)}, {sizes.lists, below}, Qt::Vertical);
}

void Frame::raise(const QString& id) {
  for (const Panel& panel : panels_) {
    if (panel.row->id != id) continue;
    if (panel.dock != nullptr) {
      if (!comes_and_goes(*panel.row)) panel.dock->show();
      panel.dock->raise();
      panel.view->setFocus();
      return;
    }
    for (int preset = 0; !tabs_->raise(id) && preset < presets_->count(); ++preset) {
      if (views_of(presets()[static_cast<std::size_t>(preset)]).contains(id))
        presets_->setCurrentIndex(preset);
    }
  }
}

void Frame::raise(QWidget* view) {
  for (const Panel& panel : panels_) {
    if (panel.view == view) raise(QLatin1String(panel.row->id));
  }
}

void Frame::set_content(bool content) {
  if (content == content_) return;
  content_ = content;
  presets_->setVisible(content);
  if (content) {
    window_.restoreState(hidden_state_, kStateVersion);
    hidden_state_.clear();
    show_details();
    fit();
  } else {
    hidden_state_ = window_.saveState(kStateVersion);
    for (const Panel& panel : panels_) {
      if (panel.dock != nullptr) panel.dock->hide();
    }
  }
  for (QAction* action : view_actions_ + window_actions_) {
    action->setEnabled(content);
  }
}

void Frame::fit() {
  if (content_ && fitted_ != frame_sizes(window_.size())) apply_sizes();
}

void Frame::set_corner() {
  const bool down = frame_sizes(window_.size()).column_goes_down;
  window_.setCorner(Qt::BottomRightCorner, down ? Qt::RightDockWidgetArea : Qt::BottomDockWidgetArea);
}

void Frame::apply_sizes() {
  const FrameSizes sizes = frame_sizes(window_.size());
  fitted_ = sizes;
  set_corner();
  window_.resizeDocks({head(ViewArea::column)}, {sizes.column - kSeparator}, Qt::Horizontal);
  window_.resizeDocks({head(ViewArea::text)}, {text_height(sizes.text_lines)}, Qt::Vertical);
  divide_column();
}

void Frame::restore_default() {
  window_.restoreState(default_state_, kStateVersion);
  column_->setChecked(true);
  for (const Panel& panel : panels_) {
    if (panel.dock != nullptr && !comes_and_goes(*panel.row)) panel.dock->show();
  }
  head(ViewArea::column)->raise();
  show_details();
  apply_sizes();
}

QByteArray Frame::state() const {
  return hidden_state_.isEmpty() ? window_.saveState(kStateVersion) : hidden_state_;
}

void Frame::restore(const QByteArray& state) {
  set_corner();
  // The sizes are the person's own then.
  if (window_.restoreState(state, kStateVersion)) fitted_ = frame_sizes(window_.size());
  show_details();
}

}  // namespace expertscope
