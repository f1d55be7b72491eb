// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QAction;
class QVBoxLayout;

namespace expertscope {

class InterruptedRecordings;
class RecentFiles;

/// What a person sees first: open a model folder, a trace, the demo, or something recent.
class StartPage final : public QWidget {
  Q_OBJECT
 public:
  /// The actions are those of the File menu.
  StartPage(RecentFiles& recent, InterruptedRecordings& interrupted, const QList<QAction*>& actions,
            QWidget* parent = nullptr);

 Q_SIGNALS:
  void open_wanted(const QString& path);

 private:
  QWidget* make_actions(const QList<QAction*>& actions);
  void fill_recent();

  RecentFiles& files_;
  QVBoxLayout* recent_;
};

}  // namespace expertscope
