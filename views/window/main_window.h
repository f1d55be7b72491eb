// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QMainWindow>
#include <cstdint>
#include <memory>
#include <optional>

#include "views/window/window_actions.h"

class QDockWidget;
class QLabel;
class QSplitter;
class QStackedWidget;
class QTabWidget;

namespace expertscope {

class CompareView;
class EditsPanel;
class ExpertActions;
class FileDialogs;
class GenerationPanel;
class HeatmapPanel;
class Inspector;
class MessageBanner;
class OpeningProgress;
class OutlierChart;
class RunsPanel;
class TablePanel;
class TokenPanel;
class UnsavedEdits;
class Workspace;
enum class GpuFailure : std::uint8_t;
enum class Task : std::uint8_t;
struct Error;

/// Arranges the panels around the routing map and connects the actions; what a panel shows is its own matter.
class MainWindow final : public QMainWindow {
  Q_OBJECT
 public:
  /// `workspace` is not owned and outlives the window.
  explicit MainWindow(Workspace& workspace, QWidget* parent = nullptr);
  ~MainWindow() override;

  WindowActions& actions_of_window() { return actions_; }
  ExpertActions& expert_actions() { return *expert_actions_; }
  HeatmapPanel& heatmap() { return *heatmap_; }
  GenerationPanel& generation() { return *generation_; }
  CompareView& compare() { return *compare_; }
  MessageBanner& banner() { return *banner_; }
  QTabWidget& tabs() { return *tabs_; }

 public Q_SLOTS:
  void show_compare();
  void show_outliers();
  void restore_default_layout();

 protected:
  void closeEvent(QCloseEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;

 private:
  void make_central();
  void make_status_bar();
  void make_docks();
  void size_docks();
  QDockWidget* add_dock(const char* name, const QString& title, QWidget* content, Qt::DockWidgetArea area);
  void make_menus();
  void make_file_menu();
  void make_edit_menu();
  void make_view_menu();
  void make_theme_menu(QMenu& menu);
  void fill_recent_menu();
  void connect_actions();
  void connect_file_actions();
  void connect_workspace();
  void update_state();
  /// The start page stands alone; with content the panels come back as they were.
  void show_panels(bool visible);
  QByteArray panel_state() const;
  void show_error(const Error& error, Task task);
  void show_warning(const QString& message, std::optional<Task> task = {});
  /// What was said about a task is obsolete.
  void forget(Task task);
  void connect_obsolescence();
  void open_path(const QString& path);
  void load_policy(const QString& file);
  /// Right after something may have been lost or saved.
  void update_title();
  void explain_gpu_failure(const Error& error, GpuFailure failure, const QString& folder);
  void offer_move();
  void offer_recording();
  void show_cell_menu(const QPoint& global);
  void start_pick();
  void show_about();

  Workspace& workspace_;
  WindowActions actions_;
  ExpertActions* expert_actions_;
  FileDialogs* files_;
  UnsavedEdits* unsaved_;
  MessageBanner* banner_ = nullptr;
  OpeningProgress* opening_ = nullptr;
  QStackedWidget* pages_ = nullptr;
  QSplitter* middle_ = nullptr;
  QTabWidget* tabs_ = nullptr;
  HeatmapPanel* heatmap_ = nullptr;
  OutlierChart* outliers_ = nullptr;
  CompareView* compare_ = nullptr;
  TablePanel* table_ = nullptr;
  GenerationPanel* generation_ = nullptr;
  QDockWidget* inspector_dock_ = nullptr;
  QDockWidget* token_dock_ = nullptr;
  QList<QDockWidget*> docks_;
  QMenu* recent_menu_ = nullptr;
  QLabel* summary_ = nullptr;
  bool recording_offered_ = false;
  std::optional<Task> trouble_;  ///< what the error or warning in the banner is about
  bool closing_ = false;         ///< the person has agreed to lose what is not saved
  QByteArray default_state_;
  QByteArray hidden_state_;  ///< of the panels while the start page is shown
};

}  // namespace expertscope
