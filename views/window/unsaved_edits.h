// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <functional>

class QMessageBox;
class QWidget;

namespace expertscope {

class FileDialogs;
class Workspace;

/// Asks before edits that no file holds would be lost: save them, discard them, or leave everything as it is.
class UnsavedEdits final : public QObject {
  Q_OBJECT
 public:
  using Act = std::function<void()>;

  UnsavedEdits(Workspace& workspace, FileDialogs& files, QWidget* window);

  /// Acts at once when there is nothing to lose, else when the person has answered. `what` is what is going
  /// to happen: "Closing the window".
  void before(const QString& what, const Act& act);

 private:
  void save_first(const Act& act);
  void act_now();

  Workspace& workspace_;
  FileDialogs& files_;
  QWidget* window_;
  Act waiting_;  ///< for the edits to be saved
};

}  // namespace expertscope
