// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QHeaderView>
#include <QTableView>

namespace expertscope {

/// Rows that are selected as a whole, as high as their text, without a grid.
inline void look_like_a_table(QTableView& table) {
  table.setSelectionBehavior(QAbstractItemView::SelectRows);
  table.setFrameShape(QFrame::NoFrame);
  table.setShowGrid(false);
  table.setAlternatingRowColors(true);
  table.setWordWrap(false);
  table.verticalHeader()->hide();
  table.verticalHeader()->setDefaultSectionSize(table.fontMetrics().height() + 6);
  table.horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
  table.horizontalHeader()->setResizeContentsPrecision(40);  // rows measured: 6144 would take a while
  table.horizontalHeader()->setMinimumSectionSize(30);
  table.horizontalHeader()->setHighlightSections(false);
}

}  // namespace expertscope
