// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/cached_models_dialog.h"

#include <QDialogButtonBox>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTableView>
#include <QVBoxLayout>

#include "views/models/plain_text.h"
#include "views/widgets/table_look.h"

namespace expertscope {

CachedModelsDialog::CachedModelsDialog(const std::filesystem::path& cache, QWidget* parent)
    : QDialog(parent), table_(new QTableView), where_(new QLabel) {
  setObjectName(QStringLiteral("cached_models"));
  setWindowTitle(tr("Models in the Hugging Face cache"));
  setAttribute(Qt::WA_DeleteOnClose);
  table_->setObjectName(QStringLiteral("cached_models_table"));
  table_->setAccessibleName(windowTitle());
  table_->setModel(&models_);
  table_->setSelectionMode(QAbstractItemView::SingleSelection);
  look_like_a_table(*table_);
  table_->horizontalHeader()->setStretchLastSection(true);
  where_->setObjectName(QStringLiteral("cached_models_where"));
  where_->setTextFormat(Qt::PlainText);
  where_->setWordWrap(true);
  where_->setForegroundRole(QPalette::PlaceholderText);
  where_->setText(cache.empty()
                      ? tr("There is no Hugging Face cache: HF_HUB_CACHE, HF_HOME and HOME are not set.")
                      : tr("Looking into %1…").arg(visible(cache.string())));
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Open | QDialogButtonBox::Cancel);
  open_ = buttons->button(QDialogButtonBox::Open);
  open_->setEnabled(false);
  auto* layout = new QVBoxLayout(this);
  layout->addWidget(where_);
  layout->addWidget(table_, 1);
  layout->addWidget(buttons);
  resize(880, 420);
  connect(&models_, &CachedModels::listed, this, [this, cache] { say_what_there_is(cache); });
  connect(&models_, &QAbstractItemModel::dataChanged, this, &CachedModelsDialog::update_button);
  connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this,
          &CachedModelsDialog::update_button);
  connect(table_, &QTableView::activated, this, &CachedModelsDialog::choose);
  connect(buttons, &QDialogButtonBox::accepted, this, &CachedModelsDialog::choose);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  if (!cache.empty()) models_.read(cache);
}

void CachedModelsDialog::say_what_there_is(const std::filesystem::path& cache) {
  const QString folder = visible(cache.string());
  where_->setText(
      models_.rowCount() > 0
          ? folder
          : tr("%1 holds no model. This program downloads none: \"hf download\" does.").arg(folder));
}

void CachedModelsDialog::update_button() {
  const QModelIndexList rows = table_->selectionModel()->selectedRows();
  open_->setEnabled(!rows.isEmpty() && models_.can_open(rows.first().row()));
}

void CachedModelsDialog::choose() {
  const QModelIndexList rows = table_->selectionModel()->selectedRows();
  if (rows.isEmpty() || !models_.can_open(rows.first().row())) return;
  const QString path = models_.path_of(rows.first().row());
  accept();
  Q_EMIT open_wanted(path);
}

}  // namespace expertscope
