// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QAction;
class QHBoxLayout;
class QToolButton;

namespace expertscope {

/// The bar over a view: what is shown and how, then what can be done with it.
class ViewBar final : public QWidget {
  Q_OBJECT
 public:
  explicit ViewBar(QWidget* parent = nullptr);

  void add(QWidget* widget, int stretch = 0);
  void add_separator();
  void add_stretch();
  /// A button for an action of a menu, under a name that fits a button.
  static QToolButton* make_button(QAction& action, const QString& text);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QHBoxLayout* row_;
};

}  // namespace expertscope
