// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QList>

class QAction;
class QWidget;

namespace expertscope {

/// Every action of the main window but those on an expert and the undo stack's. Owned by the window.
struct WindowActions {
  explicit WindowActions(QWidget* window);

  // File
  QAction* open_model;
  QAction* open_gguf;
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
  QAction* clear_edits;
  QAction* copy_picture;
  // View
  QList<QAction*> metrics;  ///< one per HeatmapMetric, exclusive
  QAction* zoom_in;
  QAction* zoom_out;
  QAction* fit;
  QAction* clear_range;
  // Run
  QAction* generate;
  QAction* stop;
  QAction* compare;
  QAction* edit_prompt;
  // Window, Help
  QAction* restore_layout;
  QAction* shortcuts;
  QAction* about;

 private:
  void make_file_actions(QWidget* window);
  void make_view_actions(QWidget* window);
  void make_run_actions(QWidget* window);
};

}  // namespace expertscope
