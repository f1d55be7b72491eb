// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QMessageBox>
#include <QObject>
#include <QPointer>
#include <functional>

class QWidget;

namespace expertscope {

class FileDialogs;
class Workbench;

/// Asks before edits that no file holds would be lost: save them, discard them, or leave everything as it is.
class UnsavedEdits final : public QObject {
  Q_OBJECT
 public:
  using Act = std::function<void()>;

  UnsavedEdits(Workbench& workbench, FileDialogs& files, QWidget* window);

  /// Acts at once when there is nothing to lose, else when the person has answered. `what` is what is going
  /// to happen: "Closing the window".
  void before(const QString& what, const Act& act);

 private:
  void save_first(const Act& act);
  void act_now();

  Workbench& workbench_;
  FileDialogs& files_;
  QWidget* window_;
  QPointer<QMessageBox> asked_;
  Act waiting_;  ///< for the edits to be saved
};

}  // namespace expertscope
