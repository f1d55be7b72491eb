// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/layers_view.h"

#include <QHeaderView>
#include <QLabel>
#include <QSignalBlocker>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/subject.h"
#include "views/widgets/table_look.h"

namespace expertscope {
namespace {

/// That every layer has a router.
bool says_nothing(const Column& column) {
  if (column.type() != ColumnType::flag) return false;
  for (std::size_t row = 0; row < column.size(); ++row) {
    if (column.integer(row) == 0) return false;
  }
  return true;
}

}  // namespace

LayersView::LayersView(Subject& subject)
    : subject_(subject), source_(subject), table_(new QTableView), empty_(new QLabel) {
  table_->setObjectName(QStringLiteral("layers"));
  table_->setAccessibleName(tr("Layers"));
  table_->setModel(&model_);
  look_like_a_table(*table_);
  empty_->setAlignment(Qt::AlignCenter);
  empty_->setWordWrap(true);
  empty_->setForegroundRole(QPalette::PlaceholderText);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(table_, 1);
  layout->addWidget(empty_, 1);
  connect(&source_, &AnalysisSource::changed, this, &LayersView::update_table);
  connect(&subject.selection(), &Selection::cell_changed, this, &LayersView::select_layer);
  connect(table_, &QTableView::clicked, this, [this](const QModelIndex& index) {
    const Cell before = subject_.selection().cell();
    const Cell cell = model_.cell_of(index.row());
    if (cell.valid()) subject_.selection().set_cell({cell.layer, std::max(0, before.expert)});
  });
  update_table();
}

void LayersView::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  source_.ask("layers");
}

void LayersView::hideEvent(QHideEvent* event) {
  QWidget::hideEvent(event);
  source_.rest();
}

void LayersView::update_table() {
  const auto result = source_.result();
  const Table* table = result ? result->find("layers") : nullptr;
  model_.set_table(result, table);
  for (int column = 0; table != nullptr && column < model_.columnCount(); ++column)
    table_->setColumnHidden(column, says_nothing(table->columns[static_cast<std::size_t>(column)]));
  table_->setVisible(table != nullptr);
  empty_->setVisible(table == nullptr);
  empty_->setText(source_.problem().isEmpty() ? tr("What a run says of its layers stands here.")
                                              : source_.problem());
  select_layer(subject_.selection().cell());
}

void LayersView::select_layer(Cell cell) {
  const int row = model_.row_of(cell);
  if (row < 0 || row == table_->currentIndex().row()) return;
  table_->selectRow(row);
  table_->scrollTo(model_.index(row, 0));
}

}  // namespace expertscope
