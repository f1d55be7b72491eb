// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QList>

class QAction;
class QUndoStack;
class QWidget;

namespace expertscope {

/// Property of an action whose text changes with what it would do ("Undo prune expert 3"): the command alone.
inline constexpr const char* kCommandProperty = "command";

/// Every command of the menus but those on an expert (ExpertActions). Owned by the window; a view may offer
/// them too, or be the one that carries them out.
struct Commands {
  Commands(QWidget* window, QUndoStack& undo_stack);

  // File
  QAction* open_model;
  QAction* open_gguf;
  QAction* open_cached;
  QAction* open_trace;
  QAction* open_demo;
  QAction* save_trace;
  QAction* export_report;
  QAction* export_csv;
  QAction* export_json;
  QAction* export_picture;
  QAction* load_policy;
  QAction* save_policy;
  QAction* close;
  QAction* quit;
  // Edit
  QAction* undo;
  QAction* redo;
  QAction* clear_edits;
  QAction* copy_picture;
  // View
  QList<QAction*> metrics;  ///< one for each of the first kMetricsWithKeys
  QAction* zoom_in;
  QAction* zoom_out;
  QAction* fit;
  QAction* clear_range;
  // Run
  QAction* generate;
  QAction* stop;
  QAction* compare;
  QAction* edit_prompt;
  // Help
  QAction* shortcuts;
  QAction* about;

 private:
  void make_file_actions(QWidget* window);
  void make_edit_actions(QWidget* window, QUndoStack& undo_stack);
  void make_view_actions(QWidget* window);
  void make_run_actions(QWidget* window);
};

}  // namespace expertscope
