// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QMainWindow>
#include <cstdint>
#include <optional>

#include "views/widgets/commands.h"
#include "views/widgets/view_context.h"

class QLabel;
class QStackedWidget;

namespace expertscope {

class ElidedLabel;
class ExpertActions;
class FileDialogs;
class Frame;
class MessageBanner;
class OpeningProgress;
class UnsavedEdits;
class Workbench;
enum class GpuFailure : std::uint8_t;
enum class Task : std::uint8_t;
struct Error;

/// Menus, messages and the start page around a Frame of views; what a view shows is its own matter.
class MainWindow final : public QMainWindow {
  Q_OBJECT
 public:
  /// `workbench` is not owned and outlives the window.
  explicit MainWindow(Workbench& workbench, QWidget* parent = nullptr);
  ~MainWindow() override;

  Commands& commands() { return commands_; }
  ExpertActions& expert_actions() { return *expert_actions_; }
  MessageBanner& banner() { return *banner_; }
  /// Brings a view of view_rows() to the front.
  void show_view(const QString& id);

 protected:
  void closeEvent(QCloseEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  ViewContext make_context();
  void make_central();
  void make_status_bar();
  void make_menus();
  void make_file_menu();
  void make_edit_menu();
  void make_view_menu();
  void make_theme_menu(QMenu& menu);
  void fill_recent_menu();
  void connect_actions();
  void connect_file_actions();
  void connect_workbench();
  void connect_rate();
  void update_state();
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
  void show_about();

  Workbench& workbench_;
  Commands commands_;
  ExpertActions* expert_actions_;
  FileDialogs* files_;
  UnsavedEdits* unsaved_;
  ElidedLabel* reading_;  ///< what is under the pointer; views say it while they are made
  ViewContext context_;
  Frame* frame_;
  MessageBanner* banner_ = nullptr;
  OpeningProgress* opening_ = nullptr;
  QStackedWidget* pages_ = nullptr;
  QMenu* recent_menu_ = nullptr;
  QLabel* summary_ = nullptr;
  QLabel* rate_ = nullptr;
  bool recording_offered_ = false;
  std::optional<Task> trouble_;  ///< what the error or warning in the banner is about
  bool closing_ = false;         ///< the person has agreed to lose what is not saved
};

}  // namespace expertscope
