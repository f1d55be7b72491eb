// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QString>
#include <functional>

#include "views/widgets/view_context.h"

class QFileDialog;
class QWidget;

namespace expertscope {

class Workbench;

/// Asks for a file or folder, without blocking the window, and hands it to the workbench.
class FileDialogs final : public QObject {
  Q_OBJECT
 public:
  FileDialogs(Workbench& workbench, QWidget* window);

  void open_model();
  void open_gguf();
  void open_cached();
  void open_trace();
  void save_trace();
  void export_report();
  void export_csv();
  void export_json();
  void export_picture(const Picture& picture);
  void load_policy();
  void save_policy();

 Q_SIGNALS:
  /// A model or a trace was chosen, or a policy: whether it is opened is the window's decision.
  void open_wanted(const QString& path);
  void load_wanted(const QString& file);
  /// A dialog was closed without a choice.
  void cancelled();

 private:
  using Use = std::function<void(const QString& file)>;
  void ask_open(const QString& title, const QString& filter, const Use& use);
  /// `name` is proposed in the folder used last.
  void ask_save(const QString& title, const QString& name, const QString& filter, const Use& use);
  void show(QFileDialog* dialog, const Use& use);
  QString last_folder() const;
  /// "demo-run3": stem for proposed names.
  QString stem() const;

  Workbench& workbench_;
  QWidget* window_;
};

}  // namespace expertscope
