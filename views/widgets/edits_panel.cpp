// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/edits_panel.h"

#include <QAction>
#include <QHBoxLayout>
#include <QLabel>
#include <QListView>
#include <QShortcut>
#include <QToolButton>
#include <QVBoxLayout>

#include "views/models/subject.h"
#include "views/widgets/commands.h"
#include "views/widgets/view_context.h"

namespace expertscope {
namespace {

constexpr int kSmallestList = 40;  // pixels: what is in it moves nothing below

/// A button with one word: "Undo", whatever would be undone; the tool tip says the rest.
QToolButton* make_button(QAction& action) {
  const auto label = [&action] {
    QString text = action.iconText();
    return text.remove(QLatin1Char('&')).section(QLatin1Char(' '), 0, 0);
  };
  auto* button = new QToolButton;
  button->setDefaultAction(&action);
  button->setAutoRaise(true);
  button->setText(label());
  button->setObjectName(QStringLiteral("edits_") + action.objectName());
  QObject::connect(&action, &QAction::changed, button, [button, label] { button->setText(label()); });
  return button;
}

}  // namespace

EditsPanel::EditsPanel(ViewContext& context)
    : EditsPanel(context.subject, {context.commands.undo, context.commands.redo, context.commands.load_policy,
                                   context.commands.save_policy}) {}

EditsPanel::EditsPanel(Subject& subject, const QList<QAction*>& actions, QWidget* parent)
    : QWidget(parent), subject_(subject), list_(new QListView), empty_(new QLabel) {
  list_->setObjectName(QStringLiteral("edits"));
  list_->setAccessibleName(tr("Edits of the routing"));
  list_->setModel(&subject.edits());
  list_->setWordWrap(true);
  list_->setFrameShape(QFrame::NoFrame);
  list_->setMinimumHeight(kSmallestList);
  empty_->setWordWrap(true);
  empty_->setAlignment(Qt::AlignTop);
  empty_->setMargin(10);
  empty_->setForegroundRole(QPalette::PlaceholderText);
  auto* bar = new QWidget;
  auto* buttons = new QHBoxLayout(bar);
  buttons->setContentsMargins(6, 4, 6, 4);
  buttons->setSpacing(2);
  for (QAction* action : actions) {
    buttons->addWidget(make_button(*action));
  }
  buttons->addStretch(1);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(list_, 1);
  layout->addWidget(empty_, 1);
  layout->addWidget(bar);
  auto* remove = new QShortcut(QKeySequence::Delete, list_);
  remove->setContext(Qt::WidgetShortcut);
  connect(remove, &QShortcut::activated, this, &EditsPanel::remove_current);
  connect(list_, &QListView::clicked, this, [this](const QModelIndex& index) {
    const Cell cell{index.data(RoutingEdits::kLayerRole).toInt(),
                    index.data(RoutingEdits::kExpertRole).toInt()};
    // An edit of whole layers names no expert.
    if (cell.valid() && !cell.is_shared()) subject_.selection().set_cell(cell);
  });
  connect(&subject.edits(), &RoutingEdits::policy_changed, this, &EditsPanel::update_state);
  connect(&subject, &Subject::content_changed, this, &EditsPanel::update_state);
  update_state();
}

void EditsPanel::remove_current() {
  const QModelIndex index = list_->currentIndex();
  // A refusal is told by RoutingEdits::refused.
  if (index.isValid()) (void)subject_.edits().remove(index.row());
}

void EditsPanel::update_state() {
  const auto count = subject_.edits().policy().edits.size();
  const bool any = count > 0;
  setWindowTitle(any ? tr("Edits %1").arg(count) : QString());
  list_->setVisible(any);
  empty_->setVisible(!any);
  empty_->setText(subject_.content() == Subject::Content::trace
                      ? Subject::why_not_editable()
                      : tr("No edits. Right-click an expert on the map to prune, reroute or boost it."));
}

}  // namespace expertscope
