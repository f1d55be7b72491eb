// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/selection.h"

#include <QCoreApplication>

namespace expertscope {

QString expert_name(Cell cell) {
  return cell.is_shared() ? QCoreApplication::translate("Cell", "shared expert")
                          : QCoreApplication::translate("Cell", "expert %1").arg(cell.expert);
}

QString expert_number_text(int expert) {
  return expert == kSharedExpert ? QCoreApplication::translate("Cell", "shared") : QString::number(expert);
}

bool Selection::has_range() const {
  const TokenRange whole;
  return range_.begin != whole.begin || range_.end != whole.end;
}

void Selection::set_run(std::int64_t run) {
  if (run != run_) show_run(run);
}

void Selection::follow_newest() {
  show_run(0);
}

void Selection::show_run(std::int64_t run) {
  run_ = run;
  token_ = -1;
  range_ = TokenRange{};
  domain_.clear();
  Q_EMIT token_changed(token_);
  Q_EMIT range_changed();
  Q_EMIT domain_changed();
  Q_EMIT changed();
}

void Selection::set_baseline(std::int64_t run) {
  if (run == baseline_) return;
  baseline_ = run;
  Q_EMIT changed();
}

void Selection::set_cell(Cell cell) {
  if (cell == cell_) return;
  cell_ = cell;
  Q_EMIT cell_changed(cell_);
  Q_EMIT changed();
}

void Selection::set_token(std::int64_t token) {
  if (token == token_) return;
  token_ = token;
  Q_EMIT token_changed(token_);
  Q_EMIT changed();
}

void Selection::set_range(TokenRange range) {
  if (range.begin == range_.begin && range.end == range_.end) return;
  range_ = range;
  Q_EMIT range_changed();
  Q_EMIT changed();
}

void Selection::set_domain(const std::string& domain) {
  if (domain == domain_) return;
  domain_ = domain;
  Q_EMIT domain_changed();
  Q_EMIT changed();
}

void Selection::reset() {
  run_ = 0;
  baseline_ = 0;
  cell_ = Cell{};
  token_ = -1;
  range_ = TokenRange{};
  domain_.clear();
  Q_EMIT cell_changed(cell_);
  Q_EMIT token_changed(token_);
  Q_EMIT range_changed();
  Q_EMIT domain_changed();
  Q_EMIT changed();
}

}  // namespace expertscope
