// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/view_bar.h"

#include <QAction>
#include <QHBoxLayout>
#include <QPainter>
#include <QToolButton>
#include <algorithm>

namespace expertscope {
namespace {

constexpr int kHeight = 34;  // pixels

}  // namespace

ViewBar::ViewBar(QWidget* parent) : QWidget(parent), row_(new QHBoxLayout(this)) {
  row_->setContentsMargins(8, 0, 8, 0);
  row_->setSpacing(8);
  setFixedHeight(std::max(kHeight, fontMetrics().height() + 16));
}

void ViewBar::add(QWidget* widget, int stretch) {
  row_->addWidget(widget, stretch);
}

void ViewBar::add_separator() {
  row_->addSpacing(8);
}

void ViewBar::add_stretch() {
  row_->addStretch(1);
}

QToolButton* ViewBar::make_button(QAction& action, const QString& text) {
  auto* button = new QToolButton;
  button->setDefaultAction(&action);
  button->setText(text);
  button->setToolTip(action.statusTip());
  // The action's own text is longer than a button.
  connect(&action, &QAction::changed, button, [button, text] { button->setText(text); });
  return button;
}

void ViewBar::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  painter.fillRect(rect(), palette().color(QPalette::Button));
  painter.setPen(palette().color(QPalette::Mid));
  painter.drawLine(rect().bottomLeft(), rect().bottomRight());
}

}  // namespace expertscope
