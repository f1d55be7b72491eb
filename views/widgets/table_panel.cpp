// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/table_panel.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QHeaderView>
#include <QShortcut>
#include <QSignalBlocker>
#include <QSortFilterProxyModel>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/subject.h"
#include "views/widgets/domain_chip.h"
#include "views/widgets/table_look.h"

namespace expertscope {

TablePanel::TablePanel(Subject& subject, QWidget* parent)
    : QWidget(parent), subject_(subject), sorted_(new QSortFilterProxyModel(this)), table_(new QTableView) {
  sorted_->setSourceModel(&subject.table());
  sorted_->setSortRole(ExpertTableModel::kSortRole);
  table_->setObjectName(QStringLiteral("expert_table"));
  table_->setAccessibleName(tr("Routing map as a table"));
  table_->setModel(sorted_);
  table_->setSortingEnabled(true);
  table_->sortByColumn(ExpertTableModel::kLayer, Qt::AscendingOrder);
  look_like_a_table(*table_);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(new DomainChip(subject), 0, Qt::AlignLeft);
  layout->addWidget(table_);
  auto* copying = new QShortcut(QKeySequence::Copy, table_);
  copying->setContext(Qt::WidgetShortcut);
  connect(copying, &QShortcut::activated, this, &TablePanel::copy);
  connect(table_->selectionModel(), &QItemSelectionModel::currentRowChanged, this,
          [this](const QModelIndex& index) {
            const Cell cell = subject_.table().cell_of(sorted_->mapToSource(index).row());
            if (cell.valid()) subject_.selection().set_cell(cell);
          });
  // Who sorts wants to see what comes first.
  connect(table_->horizontalHeader(), &QHeaderView::sortIndicatorChanged, table_, &QTableView::scrollToTop);
  connect(&subject.selection(), &Selection::cell_changed, this, &TablePanel::select_cell);
  connect(sorted_, &QAbstractItemModel::columnsInserted, this, [this] {
    arrange_columns();
    // They belong to the selected rows, too.
    QItemSelectionModel* selected = table_->selectionModel();
    selected->select(selected->selection(), QItemSelectionModel::Select | QItemSelectionModel::Rows);
  });
  connect(sorted_, &QAbstractItemModel::modelReset, this, [this] {
    arrange_columns();
    select_cell();
  });
}

/// What a baseline adds stands beside the number that it belongs to.
void TablePanel::arrange_columns() {
  QHeaderView* header = table_->horizontalHeader();
  for (int column = ExpertTableModel::kColumns; column < header->count(); ++column) {
    const int place = (column - ExpertTableModel::kColumns) % 2 + 1;
    const int before = header->visualIndex(ExpertTableModel::compared_column(column));
    const int from = header->visualIndex(column);
    header->moveSection(from, from < before ? before + place - 1 : before + place);
  }
}

void TablePanel::select_cell() {
  const int row = subject_.table().row_of(subject_.selection().cell());
  if (row < 0) return;
  const QModelIndex index = sorted_->mapFromSource(subject_.table().index(row, 0));
  if (index.row() == table_->currentIndex().row()) return;
  const QSignalBlocker blocker(table_->selectionModel());
  table_->selectRow(index.row());
  table_->viewport()->update();
  // Before it is shown it does not know how high it is.
  scrolls_when_shown_ = !isVisible();
  if (isVisible()) table_->scrollTo(index);
}

void TablePanel::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  if (scrolls_when_shown_) table_->scrollTo(table_->currentIndex());
  scrolls_when_shown_ = false;
}

void TablePanel::copy() const {
  QModelIndexList rows = table_->selectionModel()->selectedRows();
  if (rows.isEmpty()) {
    for (int row = 0; row < sorted_->rowCount(); ++row) {
      rows << sorted_->index(row, 0);
    }
  }
  std::sort(rows.begin(), rows.end(),
            [](const QModelIndex& a, const QModelIndex& b) { return a.row() < b.row(); });
  const auto as_seen = [this](int column) { return table_->horizontalHeader()->logicalIndex(column); };
  QStringList header;
  for (int column = 0; column < sorted_->columnCount(); ++column) {
    header << sorted_->headerData(as_seen(column), Qt::Horizontal).toString();
  }
  QStringList lines{header.join(QLatin1Char('\t'))};
  for (const QModelIndex& row : rows) {
    QStringList cells;
    for (int column = 0; column < sorted_->columnCount(); ++column) {
      cells << row.siblingAtColumn(as_seen(column)).data().toString();
    }
    lines << cells.join(QLatin1Char('\t'));
  }
  QGuiApplication::clipboard()->setText(lines.join(QLatin1Char('\n')));
}

}  // namespace expertscope
