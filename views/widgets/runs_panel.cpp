// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/runs_panel.h"

#include <QLabel>
#include <QListView>
#include <QMenu>
#include <QMessageBox>
#include <QMouseEvent>
#include <QPushButton>
#include <QVBoxLayout>

#include "views/models/subject.h"
#include "views/widgets/run_delegate.h"

namespace expertscope {
namespace {

constexpr int kSmallestList = 40;  // pixels: what is in it moves nothing below

}  // namespace

RunsPanel::RunsPanel(Subject& subject, QWidget* parent)
    : QWidget(parent), subject_(subject), list_(new QListView), empty_(new QLabel) {
  list_->setObjectName(QStringLiteral("runs"));
  list_->setAccessibleName(tr("Runs of the trace"));
  list_->setModel(&subject.runs());
  list_->setFrameShape(QFrame::NoFrame);
  list_->setMinimumHeight(kSmallestList);
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
            const std::int64_t run = subject_.runs().run_at(index.row());
            const auto view = subject_.view();
            const bool shown = view && view->run && view->run->run.id == run;
            if (run != 0 && !shown) subject_.selection().set_run(run);
          });
  connect(list_, &QWidget::customContextMenuRequested, this, &RunsPanel::show_menu);
  connect(&subject.trace(), &TraceSource::view_changed, this, &RunsPanel::follow_view);
  connect(&subject.trace(), &TraceSource::closed, this, &RunsPanel::follow_view);
  follow_view();
}

void RunsPanel::follow_view() {
  const bool any = subject_.runs().rowCount() > 0;
  setWindowTitle(any ? tr("Runs %1").arg(subject_.runs().rowCount()) : QString());
  list_->setVisible(any);
  empty_->setVisible(!any);
  const auto view = subject_.view();
  if (!view || !view->run) return;
  const int row = subject_.runs().row_of(view->run->run.id);
  if (row >= 0 && list_->currentIndex().row() != row) list_->setCurrentIndex(subject_.runs().index(row));
}

/// The right button asks for the menu of a run and does not show it: the shown one cannot be the baseline.
bool RunsPanel::eventFilter(QObject* watched, QEvent* event) {
  const bool press = event->type() == QEvent::MouseButtonPress;
  if (press && static_cast<QMouseEvent*>(event)->button() == Qt::RightButton) return true;
  return QWidget::eventFilter(watched, event);
}

void RunsPanel::show_menu(const QPoint& at) {
  const std::int64_t run = subject_.runs().run_at(list_->indexAt(at).row());
  if (run == 0) return;
  auto* menu = new QMenu(this);
  menu->setObjectName(QStringLiteral("run_menu"));
  menu->setAttribute(Qt::WA_DeleteOnClose);
  menu->addAction(tr("Show run %1").arg(run), this, [this, run] { subject_.selection().set_run(run); });
  QAction* baseline =
      menu->addAction(tr("Use as baseline"), this, [this, run] { subject_.selection().set_baseline(run); });
  const auto view = subject_.view();
  baseline->setEnabled(!view || !view->run || view->run->run.id != run);
  QAction* none = menu->addAction(tr("No baseline"), this, [this] { subject_.selection().set_baseline(0); });
  none->setEnabled(subject_.selection().baseline() != 0);
  menu->addSeparator();
  add_delete(*menu, run);
  menu->popup(list_->viewport()->mapToGlobal(at));
}

void RunsPanel::add_delete(QMenu& menu, std::int64_t run) {
  QAction* action = menu.addAction(tr("Delete run…"), this, [this, run] { ask_to_delete(run); });
  const RunListModel& runs = subject_.runs();
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
  const RunListModel& runs = subject_.runs();
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
  connect(box, &QMessageBox::finished, this, [this, run, trace = subject_.trace().file()](int answer) {
    if (answer == QMessageBox::Yes && subject_.trace().file() == trace) subject_.delete_run(run);
  });
  box->open();
}

}  // namespace expertscope
