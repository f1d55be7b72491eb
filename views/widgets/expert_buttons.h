// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>
#include <vector>

class QAction;
class QGridLayout;
class QToolButton;

namespace expertscope {

class ExpertActions;

/// The edits of the selected expert as buttons, of which those in force are pressed.
class ExpertButtons final : public QWidget {
  Q_OBJECT
 public:
  explicit ExpertButtons(const ExpertActions& actions, QWidget* parent = nullptr);

  /// How many stand in a row.
  void set_columns(int columns);

 private:
  QToolButton* add(QAction* action, const QString& text);
  void add_prune(const ExpertActions& actions);

  QGridLayout* grid_;
  std::vector<QToolButton*> buttons_;
};

}  // namespace expertscope
