// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>
#include <cstdint>

class QLabel;
class QListView;
class QMenu;

namespace expertscope {

class Subject;

/// The runs of the open trace; the chosen one is what every view shows.
class RunsPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit RunsPanel(Subject& subject, QWidget* parent = nullptr);

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void follow_view();
  void show_menu(const QPoint& at);
  void add_delete(QMenu& menu, std::int64_t run);
  void ask_to_delete(std::int64_t run);

  Subject& subject_;
  QListView* list_;
  QLabel* empty_;
};

}  // namespace expertscope
