// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/main_window.h"

#include <QClipboard>
#include <QCloseEvent>
#include <QDir>
#include <QDockWidget>
#include <QDragEnterEvent>
#include <QFileInfo>
#include <QGuiApplication>
#include <QLabel>
#include <QMenu>
#include <QMessageBox>
#include <QMimeData>
#include <QPlainTextEdit>
#include <QScreen>
#include <QStackedWidget>
#include <QTabWidget>

#include "views/models/plain_text.h"
#include "views/models/workspace.h"
#include "views/widgets/compare_view.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/generation_panel.h"
#include "views/widgets/heatmap_panel.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/opening_progress.h"
#include "views/widgets/outlier_chart.h"
#include "views/widgets/prompt_bar.h"
#include "views/window/file_dialogs.h"
#include "views/window/first_window.h"
#include "views/window/shortcut_sheet.h"
#include "views/window/unsaved_edits.h"

namespace expertscope {
namespace {

const QString kGeometryKey = QStringLiteral("window/geometry");
const QString kStateKey = QStringLiteral("window/state");

/// The last part of a path, also of a folder that ends in a slash.
QString name_of(const QString& path) {
  const QString name = QDir(path).dirName();
  return visible(name.isEmpty() ? path : name);
}

}  // namespace

MainWindow::MainWindow(Workspace& workspace, QWidget* parent)
    : QMainWindow(parent),
      workspace_(workspace),
      actions_(this),
      expert_actions_(new ExpertActions(workspace, this)),
      files_(new FileDialogs(workspace, this)),
      unsaved_(new UnsavedEdits(workspace, *files_, this)) {
  setObjectName(QStringLiteral("main_window"));
  setAcceptDrops(true);
  setGeometry(first_window(screen()->availableGeometry()));
  make_central();
  make_docks();
  make_menus();
  make_status_bar();
  connect_actions();
  connect_file_actions();
  connect_workspace();
  connect_obsolescence();
  default_state_ = saveState();
  restoreGeometry(workspace.settings().value(kGeometryKey).toByteArray());
  restoreState(workspace.settings().value(kStateKey).toByteArray());
  show_panels(false);
  update_state();
}

MainWindow::~MainWindow() = default;

void MainWindow::connect_actions() {
  EngineController& engine = workspace_.engine();
  PromptBar& prompt = generation_->prompt();
  connect(actions_.generate, &QAction::triggered, &prompt, &PromptBar::generate);
  connect(actions_.stop, &QAction::triggered, &engine, &EngineController::stop);
  connect(actions_.compare, &QAction::triggered, this, [this, &prompt] {
    show_compare();
    workspace_.compare(compare_->request(prompt.request()));
  });
  connect(compare_, &CompareView::run_wanted, actions_.compare, &QAction::trigger);
  connect(actions_.edit_prompt, &QAction::triggered, this, [&prompt] {
    auto* box = prompt.findChild<QPlainTextEdit*>(QStringLiteral("prompt"));
    if (box == nullptr) return;
    box->setFocus();
    box->selectAll();
  });
  connect(actions_.clear_edits, &QAction::triggered, this, [this] { (void)workspace_.edits().clear(); });
  connect(actions_.copy_picture, &QAction::triggered, this, [this] {
    QGuiApplication::clipboard()->setImage(heatmap_->map().figure(2));
    banner_->show_notice(tr("The map is on the clipboard."));
  });
  for (QAction* action : actions_.metrics) {
    action->setChecked(action->data().toInt() == static_cast<int>(heatmap_->shown_metric()));
    connect(action, &QAction::triggered, this,
            [this, action] { heatmap_->set_metric(static_cast<HeatmapMetric>(action->data().toInt())); });
  }
  connect(heatmap_, &HeatmapPanel::metric_changed, this,
          [this](HeatmapMetric metric) { actions_.metrics[static_cast<int>(metric)]->setChecked(true); });
  connect(actions_.zoom_in, &QAction::triggered, &heatmap_->map(), &HeatmapView::zoom_in);
  connect(actions_.zoom_out, &QAction::triggered, &heatmap_->map(), &HeatmapView::zoom_out);
  connect(actions_.fit, &QAction::triggered, &heatmap_->map(), &HeatmapView::fit);
  connect(actions_.clear_range, &QAction::triggered, &workspace_.selection(), &Selection::clear_range);
  connect(actions_.restore_layout, &QAction::triggered, this, &MainWindow::restore_default_layout);
  connect(actions_.shortcuts, &QAction::triggered, this,
          [this] { (new ShortcutSheet(*menuBar(), this))->show(); });
  connect(actions_.about, &QAction::triggered, this, &MainWindow::show_about);
  connect(expert_actions_, &ExpertActions::pick_wanted, this, &MainWindow::start_pick);
  HeatmapView& map = heatmap_->map();
  connect(&map, &HeatmapView::menu_requested, this,
          [this](Cell, const QPoint& global) { show_cell_menu(global); });
  connect(&map, &HeatmapView::reroute_picked, this, [this](Cell source, int target) {
    expert_actions_->reroute_to(source.layer, source.expert, target);
  });
}

void MainWindow::connect_file_actions() {
  connect(actions_.open_model, &QAction::triggered, files_, &FileDialogs::open_model);
  connect(actions_.open_gguf, &QAction::triggered, files_, &FileDialogs::open_gguf);
  connect(actions_.open_trace, &QAction::triggered, files_, &FileDialogs::open_trace);
  connect(files_, &FileDialogs::open_wanted, this, &MainWindow::open_path);
  connect(files_, &FileDialogs::load_wanted, this, &MainWindow::load_policy);
  connect(actions_.open_demo, &QAction::triggered, this,
          [this] { unsaved_->before(tr("Opening the demo model"), [this] { workspace_.open_demo(); }); });
  connect(actions_.save_trace, &QAction::triggered, files_, &FileDialogs::save_trace);
  connect(actions_.export_report, &QAction::triggered, files_, &FileDialogs::export_report);
  connect(actions_.export_csv, &QAction::triggered, files_, &FileDialogs::export_csv);
  connect(actions_.export_json, &QAction::triggered, files_, &FileDialogs::export_json);
  connect(actions_.export_picture, &QAction::triggered, this,
          [this] { files_->export_picture(heatmap_->map()); });
  connect(actions_.load_policy, &QAction::triggered, files_, &FileDialogs::load_policy);
  connect(actions_.save_policy, &QAction::triggered, files_, &FileDialogs::save_policy);
  connect(actions_.close, &QAction::triggered, this,
          [this] { unsaved_->before(tr("Closing the model"), [this] { workspace_.close(); }); });
  connect(actions_.quit, &QAction::triggered, this, &QWidget::close);
}

void MainWindow::connect_workspace() {
  connect(&workspace_, &Workspace::failed, this, &MainWindow::show_error);
  connect(&workspace_, &Workspace::failed_on_gpu, this, &MainWindow::explain_gpu_failure);
  connect(&workspace_, &Workspace::move_offered, this, &MainWindow::offer_move);
  connect(&workspace_, &Workspace::moved, this, [this](const QString& backend) {
    banner_->show_notice(
        tr("The model runs on %1 now. What was held of the text (the KV cache) is gone; edits "
           "and recordings stay.")
            .arg(backend));
  });
  connect(&workspace_, &Workspace::warned, this, [this](const QString& text) { show_warning(text); });
  connect(&workspace_, &Workspace::waits_for_trace, this,
          [this](const QString& text) { show_warning(text, Task::wait); });
  connect(&workspace_, &Workspace::goes_on, this, [this](const QString& text) {
    forget(Task::wait);
    banner_->show_notice(text);
  });
  connect(&workspace_, &Workspace::saved, this,
          [this](const QString& file) { banner_->show_notice(tr("Written: %1").arg(file)); });
  connect(&workspace_, &Workspace::opening, opening_,
          [this](const QString& path) { opening_->begin(name_of(path)); });
  connect(&workspace_, &Workspace::opening_progressed, opening_, &OpeningProgress::show_phase);
  connect(&workspace_, &Workspace::opening_ended, opening_, &OpeningProgress::end);
  connect(opening_, &OpeningProgress::cancelled, &workspace_, &Workspace::cancel_open);
  connect(&workspace_, &Workspace::content_changed, this, &MainWindow::update_state);
  connect(&workspace_.engine(), &EngineController::state_changed, this, &MainWindow::update_state);
  connect(&workspace_.trace(), &TraceSource::view_changed, this, &MainWindow::update_state);
  connect(&workspace_.edits(), &RoutingEdits::policy_changed, this, &MainWindow::update_state);
  connect(&workspace_.edits().undo_stack(), &QUndoStack::indexChanged, this, &MainWindow::update_title);
  connect(&workspace_.edits().undo_stack(), &QUndoStack::cleanChanged, this, &MainWindow::update_title);
  connect(&workspace_.recent(), &RecentFiles::changed, this, &MainWindow::fill_recent_menu);
  connect(&workspace_.interrupted(), &InterruptedRecordings::changed, this, &MainWindow::offer_recording);
  connect(&workspace_, &Workspace::content_changed, this, &MainWindow::offer_recording);
  workspace_.interrupted().look();
  connect(&workspace_.selection(), &Selection::token_changed, this, [this](std::int64_t token) {
    // Not from under the mouse: the inspector's own list leads to tokens.
    if (token >= 0 && !inspector_dock_->isAncestorOf(focusWidget())) token_dock_->raise();
  });
  connect(&workspace_.selection(), &Selection::cell_changed, this, [this](Cell cell) {
    if (cell.valid() && !token_dock_->isAncestorOf(focusWidget())) inspector_dock_->raise();
  });
}

void MainWindow::update_state() {
  const bool has_content = workspace_.content() != Workspace::Content::nothing;
  const EngineState engine = workspace_.engine().state();
  const auto view = workspace_.view();
  const bool measured = view && view->run;
  pages_->setCurrentIndex(has_content ? 1 : 0);
  show_panels(has_content);
  for (QDockWidget* dock : docks_) {
    dock->toggleViewAction()->setEnabled(has_content);
  }
  actions_.close->setEnabled(has_content);
  actions_.generate->setEnabled(workspace_.engine().can_run());
  actions_.stop->setEnabled(engine == EngineState::generating || engine == EngineState::comparing);
  actions_.compare->setEnabled(workspace_.engine().can_run() && workspace_.edits().any_enabled());
  actions_.edit_prompt->setEnabled(engine != EngineState::no_model);
  actions_.clear_edits->setEnabled(workspace_.can_edit() && !workspace_.edits().policy().empty());
  actions_.load_policy->setEnabled(workspace_.can_edit());
  actions_.save_policy->setEnabled(workspace_.can_edit());
  for (QAction* action :
       {actions_.export_report, actions_.export_csv, actions_.export_json, actions_.save_trace}) {
    action->setEnabled(measured);
  }
  for (QAction* action :
       {actions_.export_picture, actions_.copy_picture, actions_.fit, actions_.zoom_in, actions_.zoom_out}) {
    action->setEnabled(has_content);
  }
  const QString summary = workspace_.summary();
  summary_->setText(summary);
  summary_->setToolTip(workspace_.summary_details());
  update_title();
}

void MainWindow::update_title() {
  const QString name = workspace_.summary().section(QStringLiteral(" | "), 0, 0);
  setWindowTitle(name.isEmpty() ? tr("Expertscope") : tr("%1[*] - Expertscope").arg(name));
  setWindowModified(!name.isEmpty() && workspace_.edits().has_unsaved());
}

void MainWindow::open_path(const QString& path) {
  unsaved_->before(tr("Opening %1").arg(name_of(path)), [this, path] { workspace_.open(path); });
}

void MainWindow::load_policy(const QString& file) {
  unsaved_->before(tr("Loading %1").arg(name_of(file)), [this, file] { workspace_.load_policy(file); });
}

void MainWindow::show_panels(bool visible) {
  if (visible == hidden_state_.isEmpty()) return;
  if (visible) {
    restoreState(hidden_state_);
    hidden_state_.clear();
    return;
  }
  hidden_state_ = saveState();
  for (QDockWidget* dock : docks_) {
    dock->hide();
  }
}

QByteArray MainWindow::panel_state() const {
  return hidden_state_.isEmpty() ? saveState() : hidden_state_;
}

void MainWindow::show_error(const Error& error, Task task) {
  trouble_ = task;
  banner_->show_error(QString::fromStdString(error.message));
}

void MainWindow::show_warning(const QString& message, std::optional<Task> task) {
  trouble_ = task;
  banner_->show_warning(message);
}

void MainWindow::forget(Task task) {
  if (trouble_ == task) banner_->dismiss_trouble();
}

/// An error or a warning stays until it is closed, or until what it is about was begun again or has worked.
void MainWindow::connect_obsolescence() {
  const auto done = [this](Task task) { return [this, task] { forget(task); }; };
  connect(&workspace_, &Workspace::opening, this, done(Task::open));
  connect(&workspace_.engine(), &EngineController::model_moved, this, done(Task::open));
  connect(&workspace_.engine(), &EngineController::model_moved, this, done(Task::run));
  connect(&workspace_.engine(), &EngineController::state_changed, this, [this] {
    const EngineState state = workspace_.engine().state();
    const bool runs = state == EngineState::generating || state == EngineState::comparing;
    forget(runs ? Task::run : Task::wait);
  });
  connect(&workspace_.edits(), &RoutingEdits::policy_changed, this, done(Task::edit));
  connect(&workspace_.trace(), &TraceSource::view_changed, this, done(Task::read));
  connect(&workspace_, &Workspace::saved, this, done(Task::save));
  // What was said about the model or the trace that is gone is about nothing now.
  connect(&workspace_, &Workspace::content_changed, banner_, &MessageBanner::dismiss_trouble);
}

void MainWindow::explain_gpu_failure(const Error& error, GpuFailure failure, const QString& folder) {
  const QString message = QString::fromStdString(error.message) + QLatin1Char('.');
  const QString on_cpu = tr("Continue on the CPU");
  switch (failure) {
    case GpuFailure::open:
      banner_->show_error(message, {on_cpu, [this, folder] { workspace_.open_on_cpu(folder); }});
      break;
    case GpuFailure::move:
      banner_->show_error(message + tr(" The model still runs on %1.").arg(workspace_.engine().backend()));
      break;
    case GpuFailure::run:
      banner_->show_error(message + tr(" What was recorded up to here is kept. On the CPU the model starts "
                                       "without what the GPU held of the text (its KV cache)."),
                          {on_cpu, [this] { workspace_.move_to_cpu(); }});
      break;
  }
}

void MainWindow::offer_move() {
  banner_->show_notice(tr("The chosen backend is used when a model is opened. The open one runs on %1.")
                           .arg(workspace_.engine().backend()),
                       {tr("Move it now"), [this] { workspace_.move_to_setting(); }});
}

/// The start page shows it too; who began with a model or a trace does not see that page.
void MainWindow::offer_recording() {
  const auto& list = workspace_.interrupted().list();
  if (recording_offered_ || list.empty() || workspace_.content() == Workspace::Content::nothing) return;
  recording_offered_ = true;
  banner_->show_notice(tr("A recording was interrupted: %1. %2")
                           .arg(recording_name(list.front()), recording_state(list.front())),
                       {tr("Open it"), [this, file = list.front().file] {
                          unsaved_->before(tr("Opening the recording"),
                                           [this, file] { workspace_.open_interrupted(file); });
                        }});
}

void MainWindow::show_cell_menu(const QPoint& global) {
  auto* menu = new QMenu(this);
  menu->setObjectName(QStringLiteral("cell_menu"));
  menu->setAttribute(Qt::WA_DeleteOnClose);
  expert_actions_->fill_menu(*menu);
  menu->popup(global);
}

void MainWindow::start_pick() {
  heatmap_->map().pick_reroute_target(workspace_.selection().cell());
}

void MainWindow::show_compare() {
  tabs_->setCurrentWidget(compare_);
}

void MainWindow::show_outliers() {
  tabs_->setCurrentWidget(outliers_);
}

void MainWindow::show_about() {
  auto* box = new QMessageBox(QMessageBox::NoIcon, tr("About Expertscope"),
                              tr("<h3>Expertscope %1</h3><p>Watch, edit and measure the routing of "
                                 "mixture-of-experts language models.</p><p>GPL-3.0-or-later. Qt %2.</p>")
                                  .arg(QStringLiteral(EXPERTSCOPE_VERSION), QString::fromLatin1(qVersion())),
                              QMessageBox::Close, this);
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->open();
}

void MainWindow::closeEvent(QCloseEvent* event) {
  if (!closing_ && workspace_.edits().has_unsaved()) {
    event->ignore();
    unsaved_->before(tr("Closing the window"), [this] {
      closing_ = true;
      close();
    });
    return;
  }
  closing_ = false;
  workspace_.settings().setValue(kGeometryKey, saveGeometry());
  workspace_.settings().setValue(kStateKey, panel_state());
  workspace_.engine().stop();
  QMainWindow::closeEvent(event);
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  const QList<QUrl> urls = event->mimeData()->urls();
  if (urls.size() == 1 && urls.front().isLocalFile()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  const QString path = event->mimeData()->urls().value(0).toLocalFile();
  if (path.isEmpty()) return;
  event->acceptProposedAction();
  if (QFileInfo(path).suffix() == QLatin1String("json") &&
      QFileInfo(path).fileName() != QLatin1String("config.json") && workspace_.can_edit()) {
    load_policy(path);
  } else {
    open_path(path);
  }
}

}  // namespace expertscope
