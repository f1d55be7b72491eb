// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/unsaved_edits.h"

#include <QMessageBox>
#include <QPushButton>
#include <utility>

#include "views/models/workbench.h"
#include "views/window/file_dialogs.h"

namespace expertscope {

UnsavedEdits::UnsavedEdits(Workbench& workbench, FileDialogs& files, QWidget* window)
    : QObject(window), workbench_(workbench), files_(files), window_(window) {
  // Saving failed, or was thought better of: nothing that would lose the edits happens later.
  connect(&files, &FileDialogs::cancelled, this, [this] { waiting_ = {}; });
  connect(&workbench, &Workbench::failed, this, [this] { waiting_ = {}; });
  connect(&workbench, &Workbench::saved, this, &UnsavedEdits::act_now);
}

void UnsavedEdits::before(const QString& what, const Act& act) {
  waiting_ = {};
  if (!workbench_.edits().has_unsaved()) {
    act();
    return;
  }
  if (asked_ && asked_->isVisible()) return;
  const int count = workbench_.edits().rowCount();
  auto* box = new QMessageBox(QMessageBox::Warning, tr("Unsaved edits"),
                              count == 1 ? tr("One edit of the routing is not saved.")
                                         : tr("%1 edits of the routing are not saved.").arg(count),
                              QMessageBox::Save | QMessageBox::Discard | QMessageBox::Cancel, window_);
  asked_ = box;
  box->setObjectName(QStringLiteral("unsaved_edits"));
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->setInformativeText(tr("%1 loses what is not saved.").arg(what));
  box->button(QMessageBox::Save)->setText(tr("&Save…"));
  box->setDefaultButton(QMessageBox::Save);
  connect(box, &QMessageBox::finished, this, [this, act](int answer) {
    if (answer == QMessageBox::Discard) act();
    if (answer == QMessageBox::Save) save_first(act);
  });
  box->open();
}

void UnsavedEdits::save_first(const Act& act) {
  waiting_ = act;
  files_.save_policy();
}

void UnsavedEdits::act_now() {
  // Another file may have been written, or the edits changed meanwhile.
  if (!waiting_ || workbench_.edits().has_unsaved()) return;
  std::exchange(waiting_, {})();
}

}  // namespace expertscope
