// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/expert_buttons.h"

#include <QGridLayout>
#include <QMenu>
#include <QToolButton>
#include <algorithm>

#include "views/widgets/expert_actions.h"

namespace expertscope {

ExpertButtons::ExpertButtons(const ExpertActions& actions, QWidget* parent)
    : QWidget(parent), grid_(new QGridLayout(this)) {
  grid_->setContentsMargins(0, 0, 0, 0);
  grid_->setSpacing(4);
  add_prune(actions);
  add(actions.reroute(), tr("Reroute…"));
  add(actions.force(), tr("Force"));
  add(actions.boost(), tr("Boost"));
  add(actions.suppress(), tr("Suppress"));
  add(actions.remove(), tr("Clear"));
}

QToolButton* ExpertButtons::add(QAction* action, const QString& text) {
  auto* button = new QToolButton;
  button->setDefaultAction(action);
  button->setText(text);
  button->setObjectName(QStringLiteral("expert_") + action->objectName());
  button->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);  // side by side in a narrow column, too
  buttons_.push_back(button);
  // The action's own text is longer than a button.
  connect(action, &QAction::changed, button, [button, text] { button->setText(text); });
  return button;
}

void ExpertButtons::add_prune(const ExpertActions& actions) {
  QToolButton* prune = add(actions.prune(PruneMode::mask), tr("Prune"));
  auto* kinds = new QMenu(prune);
  kinds->addActions(
      {actions.prune(PruneMode::mask), actions.prune(PruneMode::zero), actions.prune(PruneMode::drop)});
  prune->setMenu(kinds);
  prune->setPopupMode(QToolButton::MenuButtonPopup);
  // Pressed however the expert is pruned, and then pressing it again changes nothing: it does what is in
  // force.
  const auto follow = [prune, kinds, text = prune->text()] {
    prune->setText(text);
    const auto modes = kinds->actions();
    const auto in_force =
        std::find_if(modes.begin(), modes.end(), [](const QAction* mode) { return mode->isChecked(); });
    QAction* wanted = in_force != modes.end() ? *in_force : modes.front();
    if (prune->defaultAction() == wanted) return;
    prune->removeAction(prune->defaultAction());
    prune->setDefaultAction(wanted);
    prune->setText(text);
  };
  for (QAction* mode : kinds->actions()) {
    connect(mode, &QAction::changed, prune, follow);
  }
}

void ExpertButtons::set_columns(int columns) {
  for (int i = 0; i < static_cast<int>(buttons_.size()); ++i) {
    grid_->addWidget(buttons_[static_cast<std::size_t>(i)], i / columns, i % columns);
  }
}

}  // namespace expertscope
