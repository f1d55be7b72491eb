// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/runs_panel.h"

#include <QLabel>
#include <QListView>
#include <QMenu>
#include <QMessageBox>
#include <QMouseEvent>
#include <QPushButton>
#include <QVBoxLayout>

#include "views/models/workspace.h"
#include "views/widgets/run_delegate.h"

namespace expertscope {

RunsPanel::RunsPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), list_(new QListView), empty_(new QLabel) {
  list_->setObjectName(QStringLiteral("runs"));
  list_->setAccessibleName(tr("Runs of the trace"));
  list_->setModel(&workspace.runs());
  list_->setFrameShape(QFrame::NoFrame);
  list_->setAlternatingRowColors(true);
  list_->setItemDelegate(new RunDelegate(list_));
  list_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  list_->setContextMenuPolicy(Qt::CustomContextMenu);
  list_->viewport()->installEventFilter(this);
  empty_->setText(tr("Every generation becomes a run of this trace."));
  empty_->setWordWrap(true);
  empty_->setAlignment(Qt::AlignTop);
  empty_->setMargin(10);
  empty_->setForegroundRole(QPalette::PlaceholderText);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(list_, 1);
  layout->addWidget(empty_, 1);
  connect(list_->selectionModel(), &QItemSelectionModel::currentChanged, this,
          [this](const QModelIndex& index) {
            const std::int64_t run = workspace_.runs().run_at(index.row());
            const auto view = workspace_.view();
            const bool shown = view && view->run && view->run->run.id == run;
            if (run != 0 && !shown) workspace_.selection().set_run(run);
          });
  connect(list_, &QWidget::customContextMenuRequested, this, &RunsPanel::show_menu);
  connect(&workspace.trace(), &TraceSource::view_changed, this, &RunsPanel::follow_view);
  connect(&workspace.trace(), &TraceSource::closed, this, &RunsPanel::follow_view);
  follow_view();
}

void RunsPanel::follow_view() {
  const bool any = workspace_.runs().rowCount() > 0;
  list_->setVisible(any);
  empty_->setVisible(!any);
  const auto view = workspace_.view();
  if (!view || !view->run) return;
  const int row = workspace_.runs().row_of(view->run->run.id);
  if (row >= 0 && list_->currentIndex().row() != row) list_->setCurrentIndex(workspace_.runs().index(row));
}

/// The right button asks for the menu of a run and does not show it: the shown one cannot be the baseline.
bool RunsPanel::eventFilter(QObject* watched, QEvent* event) {
  const bool press = event->type() == QEvent::MouseButtonPress;
  if (press && static_cast<QMouseEvent*>(event)->button() == Qt::RightButton) return true;
  return QWidget::eventFilter(watched, event);
}

void RunsPanel::show_menu(const QPoint& at) {
  const std::int64_t run = workspace_.runs().run_at(list_->indexAt(at).row());
  if (run == 0) return;
  auto* menu = new QMenu(this);
  menu->setObjectName(QStringLiteral("run_menu"));
  menu->setAttribute(Qt::WA_DeleteOnClose);
  menu->addAction(tr("Show run %1").arg(run), this, [this, run] { workspace_.selection().set_run(run); });
  QAction* baseline =
      menu->addAction(tr("Use as baseline"), this, [this, run] { workspace_.selection().set_baseline(run); });
  const auto view = workspace_.view();
  baseline->setEnabled(!view || !view->run || view->run->run.id != run);
  QAction* none =
      menu->addAction(tr("No baseline"), this, [this] { workspace_.selection().set_baseline(0); });
  none->setEnabled(workspace_.selection().baseline() != 0);
  menu->addSeparator();
  add_delete(*menu, run);
  menu->popup(list_->viewport()->mapToGlobal(at));
}

void RunsPanel::add_delete(QMenu& menu, std::int64_t run) {
  QAction* action = menu.addAction(tr("Delete run…"), this, [this, run] { ask_to_delete(run); });
  const RunListModel& runs = workspace_.runs();
  const QVariant status = runs.data(runs.index(runs.row_of(run)), RunListModel::kStatusRole);
  const bool recorded = status.toString() == QLatin1String("recording");
  const QString tip = recorded ? tr("Run %1 is being recorded; stop it first").arg(run)
                               : tr("Take run %1 out of the trace").arg(run);
  action->setEnabled(!recorded);
  action->setToolTip(tip);
  action->setStatusTip(tip);
  menu.setToolTipsVisible(true);
}

void RunsPanel::ask_to_delete(std::int64_t run) {
  const RunListModel& runs = workspace_.runs();
  const int row = runs.row_of(run);
  if (row < 0) return;
  auto* box = new QMessageBox(QMessageBox::Warning, tr("Delete run"), tr("Delete run %1?").arg(run),
                              QMessageBox::Yes | QMessageBox::Cancel, this);
  box->setObjectName(QStringLiteral("delete_run"));
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->setTextFormat(Qt::PlainText);
  // The name and the tokens, as the list says them.
  box->setInformativeText(tr("%1\n\nThis cannot be undone.").arg(runs.data(runs.index(row)).toString()));
  box->button(QMessageBox::Yes)->setText(tr("&Delete"));
  box->setDefaultButton(QMessageBox::Cancel);
  connect(box, &QMessageBox::finished, this, [this, run, trace = workspace_.trace().file()](int answer) {
    if (answer == QMessageBox::Yes && workspace_.trace().file() == trace) workspace_.delete_run(run);
  });
  box->open();
}

}  // namespace expertscope
