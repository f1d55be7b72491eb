// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/main_window.h"

#include <QCloseEvent>
#include <QDir>
#include <QDragEnterEvent>
#include <QFileInfo>
#include <QLabel>
#include <QMenuBar>
#include <QMessageBox>
#include <QMimeData>
#include <QScreen>
#include <QStackedWidget>

#include "views/models/plain_text.h"
#include "views/models/workbench.h"
#include "views/widgets/elided_label.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/opening_progress.h"
#include "views/window/file_dialogs.h"
#include "views/window/first_window.h"
#include "views/window/frame.h"
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

MainWindow::MainWindow(Workbench& workbench, QWidget* parent)
    : QMainWindow(parent),
      workbench_(workbench),
      commands_(this, workbench.edits().undo_stack()),
      expert_actions_(new ExpertActions(workbench, this)),
      files_(new FileDialogs(workbench, this)),
      unsaved_(new UnsavedEdits(workbench, *files_, this)),
      reading_(new ElidedLabel),
      context_(make_context()),
      frame_(new Frame(*this, context_, workbench.settings())) {
  setObjectName(QStringLiteral("main_window"));
  setAcceptDrops(true);
  setGeometry(first_window(screen()->availableGeometry()));
  make_central();
  make_menus();
  make_status_bar();
  connect_actions();
  connect_file_actions();
  connect_workbench();
  connect_obsolescence();
  restoreGeometry(workbench.settings().value(kGeometryKey).toByteArray());
  frame_->restore(workbench.settings().value(kStateKey).toByteArray());
  frame_->set_content(false);
  update_state();
}

MainWindow::~MainWindow() = default;

ViewContext MainWindow::make_context() {
  return {workbench_,
          *expert_actions_,
          commands_,
          [this](QWidget* view) { frame_->raise(view); },
          [this](const QString& line) { reading_->set_full_text(line); },
          [this](const QString& text) { banner_->show_notice(text); },
          [this](const Picture& picture) { files_->export_picture(picture); }};
}

void MainWindow::connect_actions() {
  connect(commands_.stop, &QAction::triggered, &workbench_, &Subject::stop);
  connect(commands_.clear_edits, &QAction::triggered, this, [this] { (void)workbench_.edits().clear(); });
  connect(commands_.clear_range, &QAction::triggered, &workbench_.selection(), &Selection::clear_range);
  connect(commands_.shortcuts, &QAction::triggered, this, [this] {
    auto* sheet = findChild<ShortcutSheet*>();
    if (sheet == nullptr) sheet = new ShortcutSheet(*menuBar(), this);
    sheet->show();
    sheet->raise();
    sheet->activateWindow();
  });
  connect(commands_.about, &QAction::triggered, this, &MainWindow::show_about);
}

void MainWindow::connect_file_actions() {
  connect(commands_.open_model, &QAction::triggered, files_, &FileDialogs::open_model);
  connect(commands_.open_gguf, &QAction::triggered, files_, &FileDialogs::open_gguf);
  connect(commands_.open_cached, &QAction::triggered, files_, &FileDialogs::open_cached);
  connect(commands_.open_trace, &QAction::triggered, files_, &FileDialogs::open_trace);
  connect(files_, &FileDialogs::open_wanted, this, &MainWindow::open_path);
  connect(files_, &FileDialogs::load_wanted, this, &MainWindow::load_policy);
  connect(commands_.open_demo, &QAction::triggered, this,
          [this] { unsaved_->before(tr("Opening the demo model"), [this] { workbench_.open_demo(); }); });
  connect(commands_.save_trace, &QAction::triggered, files_, &FileDialogs::save_trace);
  connect(commands_.export_report, &QAction::triggered, files_, &FileDialogs::export_report);
  connect(commands_.export_csv, &QAction::triggered, files_, &FileDialogs::export_csv);
  connect(commands_.export_json, &QAction::triggered, files_, &FileDialogs::export_json);
  connect(commands_.load_policy, &QAction::triggered, files_, &FileDialogs::load_policy);
  connect(commands_.save_policy, &QAction::triggered, files_, &FileDialogs::save_policy);
  connect(commands_.close, &QAction::triggered, this,
          [this] { unsaved_->before(tr("Closing the model"), [this] { workbench_.close(); }); });
  connect(commands_.quit, &QAction::triggered, this, &QWidget::close);
}

void MainWindow::connect_workbench() {
  connect(&workbench_, &Workbench::failed, this, &MainWindow::show_error);
  connect(&workbench_, &Workbench::failed_on_gpu, this, &MainWindow::explain_gpu_failure);
  connect(&workbench_, &Workbench::move_offered, this, &MainWindow::offer_move);
  connect(&workbench_, &Workbench::moved, this, [this](const QString& backend) {
    banner_->show_notice(
        tr("The model runs on %1 now. What was held of the text (the KV cache) is gone; edits "
           "and recordings stay.")
            .arg(backend));
  });
  connect(&workbench_, &Workbench::warned, this, [this](const QString& text) { show_warning(text); });
  connect(&workbench_, &Workbench::waits_for_trace, this,
          [this](const QString& text) { show_warning(text, Task::wait); });
  connect(&workbench_, &Workbench::goes_on, this, [this](const QString& text) {
    forget(Task::wait);
    banner_->show_notice(text);
  });
  connect(&workbench_, &Workbench::saved, this,
          [this](const QString& file) { banner_->show_notice(tr("Written: %1").arg(file)); });
  connect(&workbench_, &Workbench::opening, opening_,
          [this](const QString& path) { opening_->begin(name_of(path)); });
  connect(&workbench_, &Workbench::opening_progressed, opening_, &OpeningProgress::show_phase);
  connect(&workbench_, &Workbench::opening_ended, opening_, &OpeningProgress::end);
  connect(opening_, &OpeningProgress::cancelled, &workbench_, &Workbench::cancel_open);
  connect(&workbench_, &Workbench::content_changed, this, &MainWindow::update_state);
  connect(&workbench_.engine(), &EngineController::state_changed, this, &MainWindow::update_state);
  connect(&workbench_.trace(), &TraceSource::view_changed, this, &MainWindow::update_state);
  connect(&workbench_.edits(), &RoutingEdits::policy_changed, this, &MainWindow::update_state);
  connect(&workbench_.edits().undo_stack(), &QUndoStack::indexChanged, this, &MainWindow::update_title);
  connect(&workbench_.edits().undo_stack(), &QUndoStack::cleanChanged, this, &MainWindow::update_title);
  connect(&workbench_.recent(), &RecentFiles::changed, this, &MainWindow::fill_recent_menu);
  connect(&workbench_.interrupted(), &InterruptedRecordings::changed, this, &MainWindow::offer_recording);
  connect(&workbench_, &Workbench::content_changed, this, &MainWindow::offer_recording);
  workbench_.interrupted().look();
  connect_rate();
}

void MainWindow::connect_rate() {
  const EngineController& engine = workbench_.engine();
  connect(&engine, &EngineController::state_changed, this,
          [this, &engine, before = engine.state()]() mutable {
            const bool begins = engine.state() == EngineState::generating && before != engine.state();
            before = engine.state();
            if (begins) rate_->setText(tr("reading the prompt"));
          });
  connect(&engine, &EngineController::text_generated, this, [this](const QString&, int tokens, double rate) {
    rate_->setText(tr("%1 tokens  ·  engine %2 tokens/s").arg(tokens).arg(rate, 0, 'f', rate < 10 ? 1 : 0));
  });
  connect(&engine, &EngineController::generation_finished, this, [this](const GenerateResult& result) {
    if (result.ids.empty()) rate_->clear();  // of a prompt that was refused nothing is being read any more
  });
  connect(&engine, &EngineController::model_opened, rate_, &QLabel::clear);
}

void MainWindow::update_state() {
  const bool has_content = workbench_.content() != Workbench::Content::nothing;
  const EngineState engine = workbench_.engine().state();
  const auto view = workbench_.view();
  const bool measured = view && view->run;
  pages_->setCurrentIndex(has_content ? 1 : 0);
  frame_->set_content(has_content);
  commands_.close->setEnabled(has_content);
  commands_.generate->setEnabled(workbench_.engine().can_run());
  commands_.stop->setEnabled(engine == EngineState::generating || engine == EngineState::comparing);
  commands_.compare->setEnabled(workbench_.engine().can_run() && workbench_.edits().any_enabled());
  commands_.edit_prompt->setEnabled(engine != EngineState::no_model);
  commands_.clear_edits->setEnabled(workbench_.can_edit() && !workbench_.edits().policy().empty());
  commands_.load_policy->setEnabled(workbench_.can_edit());
  commands_.save_policy->setEnabled(workbench_.can_edit());
  for (QAction* action :
       {commands_.export_report, commands_.export_csv, commands_.export_json, commands_.save_trace}) {
    action->setEnabled(measured);
  }
  for (QAction* action : {commands_.export_picture, commands_.copy_picture, commands_.fit, commands_.zoom_in,
                          commands_.zoom_out}) {
    action->setEnabled(has_content);
  }
  const QString summary = workbench_.summary();
  summary_->setText(summary);
  summary_->setToolTip(workbench_.summary_details());
  update_title();
}

void MainWindow::update_title() {
  const QString name = workbench_.summary().section(QStringLiteral(" | "), 0, 0);
  setWindowTitle(name.isEmpty() ? tr("Expertscope") : tr("%1[*] - Expertscope").arg(name));
  setWindowModified(!name.isEmpty() && workbench_.edits().has_unsaved());
}

void MainWindow::open_path(const QString& path) {
  unsaved_->before(tr("Opening %1").arg(name_of(path)), [this, path] { workbench_.open(path); });
}

void MainWindow::load_policy(const QString& file) {
  unsaved_->before(tr("Loading %1").arg(name_of(file)), [this, file] { workbench_.load_policy(file); });
}

void MainWindow::show_view(const QString& id) {
  frame_->raise(id);
}

void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  frame_->fit();
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
  connect(&workbench_, &Workbench::opening, this, done(Task::open));
  connect(&workbench_.engine(), &EngineController::model_moved, this, done(Task::open));
  connect(&workbench_.engine(), &EngineController::model_moved, this, done(Task::run));
  connect(&workbench_.engine(), &EngineController::state_changed, this, [this] {
    const EngineState state = workbench_.engine().state();
    const bool runs = state == EngineState::generating || state == EngineState::comparing;
    forget(runs ? Task::run : Task::wait);
  });
  connect(&workbench_.edits(), &RoutingEdits::policy_changed, this, done(Task::edit));
  connect(&workbench_.trace(), &TraceSource::view_changed, this, done(Task::read));
  connect(&workbench_, &Workbench::saved, this, done(Task::save));
  // What was said about the model or the trace that is gone is about nothing now.
  connect(&workbench_, &Workbench::content_changed, banner_, &MessageBanner::dismiss_trouble);
}

void MainWindow::explain_gpu_failure(const Error& error, GpuFailure failure, const QString& folder) {
  const QString message = QString::fromStdString(error.message) + QLatin1Char('.');
  const QString on_cpu = tr("Continue on the CPU");
  switch (failure) {
    case GpuFailure::open:
      banner_->show_error(message, {on_cpu, [this, folder] { workbench_.open_on_cpu(folder); }});
      break;
    case GpuFailure::move:
      banner_->show_error(message + tr(" The model still runs on %1.").arg(workbench_.engine().backend()));
      break;
    case GpuFailure::run:
      banner_->show_error(message + tr(" What was recorded up to here is kept. On the CPU the model starts "
                                       "without what the GPU held of the text (its KV cache)."),
                          {on_cpu, [this] { workbench_.move_to_cpu(); }});
      break;
  }
}

void MainWindow::offer_move() {
  banner_->show_notice(tr("The chosen backend is used when a model is opened. The open one runs on %1.")
                           .arg(workbench_.engine().backend()),
                       {tr("Move it now"), [this] { workbench_.move_to_setting(); }});
}

/// The start page shows it too; who began with a model or a trace does not see that page.
void MainWindow::offer_recording() {
  const auto& list = workbench_.interrupted().list();
  if (recording_offered_ || list.empty() || workbench_.content() == Workbench::Content::nothing) return;
  recording_offered_ = true;
  banner_->show_notice(tr("A recording was interrupted: %1. %2")
                           .arg(recording_name(list.front()), recording_state(list.front())),
                       {tr("Open it"), [this, file = list.front().file] {
                          unsaved_->before(tr("Opening the recording"),
                                           [this, file] { workbench_.open_interrupted(file); });
                        }});
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
  if (!closing_ && workbench_.edits().has_unsaved()) {
    event->ignore();
    unsaved_->before(tr("Closing the window"), [this] {
      closing_ = true;
      close();
    });
    return;
  }
  closing_ = false;
  workbench_.settings().setValue(kGeometryKey, saveGeometry());
  workbench_.settings().setValue(kStateKey, frame_->state());
  workbench_.stop();
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
      QFileInfo(path).fileName() != QLatin1String("config.json") && workbench_.can_edit()) {
    load_policy(path);
  } else {
    open_path(path);
  }
}

}  // namespace expertscope
