// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/commands.h"

#include <QAction>
#include <QActionGroup>
#include <QCoreApplication>
#include <QKeySequence>
#include <QUndoStack>
#include <QWidget>

#include "views/models/map_metrics.h"

namespace expertscope {
namespace {

QString tr(const char* text) {
  return QCoreApplication::translate("MainWindow", text);
}

QAction* make(QWidget* window, const char* name, const QString& text, const QString& tip,
              const QKeySequence& key = {}) {
  auto* action = new QAction(text, window);
  action->setObjectName(QLatin1String(name));
  action->setStatusTip(tip);
  if (!key.isEmpty()) action->setShortcut(key);
  return action;
}

}  // namespace

Commands::Commands(QWidget* window, QUndoStack& undo_stack) {
  make_file_actions(window);
  make_edit_actions(window, undo_stack);
  make_view_actions(window);
  make_run_actions(window);
}

void Commands::make_file_actions(QWidget* window) {
  open_model = make(window, "open_model", tr("Open &model folder…"),
                    tr("A Hugging Face folder with config.json and safetensors"), QKeySequence::Open);
  open_gguf = make(window, "open_gguf", tr("Open a &GGUF file…"),
                   tr("A model in one file, with its vocabulary and chat template"));
  open_cached = make(window, "open_cached", tr("Open from the &Hugging Face cache…"),
                     tr("A model that was downloaded before, by its name"));
  open_trace = make(window, "open_trace", tr("Open &trace…"), tr("A recorded run, shown without its model"),
                    QKeySequence(tr("Ctrl+Shift+O")));
  open_demo =
      make(window, "open_demo", tr("Open the &demo model"),
           tr("A small trained mixture of experts that comes with the program"), QKeySequence(tr("Ctrl+D")));
  save_trace = make(window, "save_trace", tr("&Save trace as…"),
                    tr("Copy every recorded run into a file of its own"), QKeySequence::SaveAs);
  export_report = make(window, "export_report", tr("&Report (HTML)…"),
                       tr("One self-contained page about the shown run"), QKeySequence(tr("Ctrl+E")));
  export_csv = make(window, "export_csv", tr("Table (&CSV)…"), tr("One row per layer and expert"));
  export_json = make(window, "export_json", tr("Table (&JSON)…"), tr("One object per layer and expert"));
  export_picture = make(window, "export_picture", tr("&Picture of the map (PNG, SVG)…"),
                        tr("The routing map as it is on screen, twice as fine"));
  load_policy = make(window, "load_policy", tr("&Load edits…"),
                     tr("Replace the edits by those of a policy file"), QKeySequence(tr("Ctrl+L")));
  save_policy = make(window, "save_policy", tr("Sa&ve edits…"), tr("Write the edits as policy JSON"),
                     QKeySequence::Save);
  close = make(window, "close", tr("&Close"), tr("Back to the start page"), QKeySequence::Close);
  quit = make(window, "quit", tr("&Quit"), tr("End the program"), QKeySequence(tr("Ctrl+Q")));
}

void Commands::make_edit_actions(QWidget* window, QUndoStack& undo_stack) {
  undo = undo_stack.createUndoAction(window, tr("Undo"));
  undo->setObjectName(QStringLiteral("undo"));
  undo->setProperty(kCommandProperty, tr("Undo"));
  undo->setShortcut(QKeySequence::Undo);
  redo = undo_stack.createRedoAction(window, tr("Redo"));
  redo->setObjectName(QStringLiteral("redo"));
  redo->setProperty(kCommandProperty, tr("Redo"));
  // Both in use, whatever the platform calls its own.
  redo->setShortcuts({QKeySequence(tr("Ctrl+Shift+Z")), QKeySequence(tr("Ctrl+Y"))});
  clear_edits =
      make(window, "clear_edits", tr("Remove &all edits"), tr("Give every expert back its own routing"));
  copy_picture = make(window, "copy_picture", tr("Copy &picture of the map"),
                      tr("Put the routing map on the clipboard"), QKeySequence(tr("Ctrl+Shift+C")));
}

void Commands::make_view_actions(QWidget* window) {
  auto* group = new QActionGroup(window);
  for (int number = 1; number <= kMetricsWithKeys; ++number) {
    const MapMetric& metric = map_metrics()[static_cast<std::size_t>(number - 1)];
    QAction* action = make(window, "metric", metric.name, metric.explanation(),
                           QKeySequence(QStringLiteral("Ctrl+%1").arg(number)));
    action->setObjectName(QStringLiteral("metric_%1").arg(number));
    action->setCheckable(true);
    action->setData(metric.id());
    group->addAction(action);
    metrics << action;
  }
  zoom_in =
      make(window, "zoom_in", tr("Zoom &in"), tr("Fewer, larger cells"), QKeySequence(tr("Ctrl+Shift+Up")));
  zoom_out = make(window, "zoom_out", tr("Zoom &out"), tr("More, smaller cells"),
                  QKeySequence(tr("Ctrl+Shift+Down")));
  fit = make(window, "fit", tr("&Whole map"), tr("Show every layer and expert"), QKeySequence(tr("Ctrl+0")));
  clear_range =
      make(window, "clear_range", tr("All &tokens"),
           tr("End the time filter set by Shift+click in the token strip"), QKeySequence(tr("Ctrl+Shift+A")));
}

void Commands::make_run_actions(QWidget* window) {
  generate = make(window, "run_generate", tr("&Generate"), tr("Run the prompt and record the routing"),
                  QKeySequence(tr("Ctrl+Return")));
  stop = make(window, "run_stop", tr("&Stop"), tr("Stop after the token that is being computed"),
              QKeySequence(tr("Ctrl+.")));
  compare =
      make(window, "run_compare", tr("&Compare with and without the edits"),
           tr("The same prompt and seed twice, and perplexity before and after"), QKeySequence(tr("Ctrl+K")));
  edit_prompt = make(window, "edit_prompt", tr("Edit the &prompt"), tr("Go to the prompt box"),
                     QKeySequence(tr("Ctrl+P")));
  shortcuts = make(window, "shortcuts", tr("&Keyboard and mouse"), tr("Every shortcut on one sheet"),
                   QKeySequence(Qt::Key_Question));
  about = make(window, "about", tr("&About Expertscope"), tr("Version and licence"));
}

}  // namespace expertscope
