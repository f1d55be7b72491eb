// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QLabel;
class QListView;

namespace expertscope {

class Workspace;

/// The runs of the open trace; the chosen one is what every view shows.
class RunsPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit RunsPanel(Workspace& workspace, QWidget* parent = nullptr);

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void follow_view();
  void show_menu(const QPoint& at);

  Workspace& workspace_;
  QListView* list_;
  QLabel* empty_;
};

}  // namespace expertscope
