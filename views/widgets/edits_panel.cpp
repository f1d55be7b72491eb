// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/edits_panel.h"

#include <QAction>
#include <QLabel>
#include <QListView>
#include <QShortcut>
#include <QToolBar>
#include <QVBoxLayout>

#include "views/models/workspace.h"

namespace expertscope {

EditsPanel::EditsPanel(Workspace& workspace, const QList<QAction*>& actions, QWidget* parent)
    : QWidget(parent), workspace_(workspace), list_(new QListView), empty_(new QLabel) {
  list_->setObjectName(QStringLiteral("edits"));
  list_->setAccessibleName(tr("Edits of the routing"));
  list_->setModel(&workspace.edits());
  list_->setWordWrap(true);
  list_->setFrameShape(QFrame::NoFrame);
  empty_->setWordWrap(true);
  empty_->setAlignment(Qt::AlignTop);
  empty_->setMargin(10);
  empty_->setForegroundRole(QPalette::PlaceholderText);
  auto* bar = new QToolBar;
  bar->setToolButtonStyle(Qt::ToolButtonTextOnly);
  bar->addActions(actions);
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
    if (cell.valid()) workspace_.selection().set_cell(cell);
  });
  connect(&workspace.edits(), &RoutingEdits::policy_changed, this, &EditsPanel::update_state);
  connect(&workspace, &Workspace::content_changed, this, &EditsPanel::update_state);
  update_state();
}

void EditsPanel::remove_current() {
  const QModelIndex index = list_->currentIndex();
  // A refusal is told by RoutingEdits::refused.
  if (index.isValid()) (void)workspace_.edits().remove(index.row());
}

void EditsPanel::update_state() {
  const bool any = !workspace_.edits().policy().empty();
  list_->setVisible(any);
  empty_->setVisible(!any);
  empty_->setText(workspace_.content() == Workspace::Content::trace
                      ? Workspace::why_not_editable()
                      : tr("No edits. Right-click an expert on the map to prune, reroute or boost it."));
}

}  // namespace expertscope
