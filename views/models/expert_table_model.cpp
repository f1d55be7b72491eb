// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/expert_table_model.h"

#include <QCoreApplication>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>

#include "views/models/expert_numbers.h"
#include "views/models/numbers.h"

namespace expertscope {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

struct Header {
  const char* title;
  const char* explanation;
};

constexpr std::array<Header, ExpertTableModel::kColumns> kHeaders = {{
    {QT_TRANSLATE_NOOP("ExpertTable", "Layer"), QT_TRANSLATE_NOOP("ExpertTable", "Decoder layer")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Expert"),
     QT_TRANSLATE_NOOP("ExpertTable", "Routed expert, or the shared one")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Slots"),
     QT_TRANSLATE_NOOP("ExpertTable", "Slots routed to the expert")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Share"),
     QT_TRANSLATE_NOOP("ExpertTable", "Share of the layer's routed slots")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Mean weight"),
     QT_TRANSLATE_NOOP("ExpertTable", "Mean combine weight over the expert's slots")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Score"),
     QT_TRANSLATE_NOOP("ExpertTable", "Mean score of the router over the expert's slots")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Output norm"),
     QT_TRANSLATE_NOOP("ExpertTable", "Mean L2 norm of the expert's output")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Max |down_proj|"),
     QT_TRANSLATE_NOOP("ExpertTable", "Largest absolute value in the expert's down_proj output")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Channel"),
     QT_TRANSLATE_NOOP("ExpertTable", "Channel of that maximum")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Token"),
     QT_TRANSLATE_NOOP("ExpertTable", "Token of that maximum, counted from 0 in the run")},
}};

constexpr int kBaselineColumns = 2 * static_cast<int>(kComparedNumbers.size());

/// The number of a column behind kColumns.
ExpertNumber compared_number(int column) {
  return kComparedNumbers[(column - ExpertTableModel::kColumns) / 2];
}
bool is_difference(int column) {
  return (column - ExpertTableModel::kColumns) % 2 == 1;
}

/// Which number a column shows, of those that are numbers of an expert.
std::optional<ExpertNumber> number_of(int column) {
  switch (column) {
    case ExpertTableModel::kCount:
      return ExpertNumber::count;
    case ExpertTableModel::kWeight:
      return ExpertNumber::weight;
    case ExpertTableModel::kProbability:
      return ExpertNumber::probability;
    case ExpertTableModel::kNorm:
      return ExpertNumber::norm;
    case ExpertTableModel::kOutputMax:
      return ExpertNumber::output_max;
    default:
      return std::nullopt;
  }
}

bool same_rows(const RunSnapshot* a, const RunSnapshot* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->load.layers.size() == b->load.layers.size() && a->table.experts == b->table.experts &&
         a->table.moe_layer == b->table.moe_layer && a->table.shared_layer == b->table.shared_layer;
}

}  // namespace

void ExpertTableModel::set_snapshot(std::shared_ptr<const RunSnapshot> snapshot,
                                    std::shared_ptr<const ExpertTable> baseline, std::int64_t baseline_run) {
  const bool fits = snapshot && baseline && same_shape(snapshot->table, *baseline);
  if (!fits) baseline.reset();
  const bool rows_stay = same_rows(snapshot_.get(), snapshot.get());
  if (!rows_stay) beginResetModel();
  snapshot_ = std::move(snapshot);
  if (!rows_stay) {
    list_rows();
    keep_baseline(std::move(baseline), baseline_run);
    endResetModel();
    return;
  }
  set_baseline(std::move(baseline), baseline_run);
  if (rowCount() > 0) Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
}

void ExpertTableModel::list_rows() {
  rows_.clear();
  if (!snapshot_) return;
  const auto& layers = snapshot_->load.layers;
  for (std::size_t load = 0; load < layers.size(); ++load) {
    const int layer = layers[load].layer;
    for (int expert = snapshot_->table.first_expert(layer); expert < snapshot_->table.experts; ++expert) {
      rows_.push_back({{layer, expert}, load});
    }
  }
}

void ExpertTableModel::set_baseline(std::shared_ptr<const ExpertTable> baseline, std::int64_t run) {
  const bool before = baseline_ != nullptr;
  const bool after = baseline != nullptr;
  const bool renamed = before && after && run != baseline_run_;
  if (after && !before) beginInsertColumns({}, kColumns, kColumns + kBaselineColumns - 1);
  if (before && !after) beginRemoveColumns({}, kColumns, kColumns + kBaselineColumns - 1);
  keep_baseline(std::move(baseline), run);
  if (after && !before) endInsertColumns();
  if (before && !after) endRemoveColumns();
  if (renamed) Q_EMIT headerDataChanged(Qt::Horizontal, kColumns, kColumns + kBaselineColumns - 1);
}

void ExpertTableModel::keep_baseline(std::shared_ptr<const ExpertTable> baseline, std::int64_t run) {
  baseline_run_ = run;
  if (baseline == baseline_) return;
  baseline_ = std::move(baseline);
  baseline_slots_ = baseline_ ? slots_of_layers(*baseline_) : std::vector<std::int64_t>();
}

int ExpertTableModel::compared_column(int column) {
  if (column < kColumns) return column;
  switch (compared_number(column)) {
    case ExpertNumber::weight:
      return kWeight;
    case ExpertNumber::norm:
      return kNorm;
    case ExpertNumber::output_max:
      return kOutputMax;
    default:
      return kShare;
  }
}

Cell ExpertTableModel::cell_of(int row) const {
  if (row < 0 || row >= rowCount()) return {};
  return rows_[row].cell;
}

int ExpertTableModel::row_of(Cell cell) const {
  const auto before = [](const Row& row, Cell wanted) {
    return std::tie(row.cell.layer, row.cell.expert) < std::tie(wanted.layer, wanted.expert);
  };
  const auto at = std::lower_bound(rows_.begin(), rows_.end(), cell, before);
  return at == rows_.end() || at->cell != cell ? -1 : static_cast<int>(at - rows_.begin());
}

int ExpertTableModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}

int ExpertTableModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : kColumns + (baseline_ ? kBaselineColumns : 0);
}

double ExpertTableModel::number(int row, int column) const {
  const Cell cell = cell_of(row);
  if (column >= kColumns) {
    const bool there_too = !cell.is_shared() || baseline_->has_shared(cell.layer);
    if (!there_too || (cell.is_shared() && of_routing(compared_number(column)))) return kNotMeasured;
    const double there = expert_number(baseline_->at(cell.layer, cell.expert), compared_number(column),
                                       baseline_slots_[cell.layer]);
    return is_difference(column) ? number(row, compared_column(column)) - there : there;
  }
  const ExpertStats& stats = snapshot_->table.at(cell.layer, cell.expert);
  const auto number = number_of(column);
  if (cell.is_shared() && (column == kShare || (number && of_routing(*number)))) return kNotMeasured;
  switch (column) {
    case kLayer:
      return cell.layer;
    case kExpert:
      return cell.expert;
    case kShare:  // as it is there already: a layer need not be added up for every cell
      return snapshot_->load.layers[rows_[row].load].share[cell.expert];
    case kChannel:
      return stats.output_channel >= 0 ? stats.output_channel : kNotMeasured;
    case kToken:
      return stats.output_token >= 0 ? static_cast<double>(stats.output_token) : kNotMeasured;
    default:
      break;
  }
  return number ? expert_number(stats, *number, 0) : kNotMeasured;  // none of these is a share
}

QString ExpertTableModel::text(int row, int column) const {
  const double value = number(row, column);
  if (column >= kColumns) {
    const ExpertNumber number = compared_number(column);
    return is_difference(column) ? format_difference(number, value) : format_number(number, value);
  }
  if (column == kExpert) return expert_number_text(static_cast<int>(value));
  if (column == kShare) return format_number(ExpertNumber::share, value);
  if (const auto number = number_of(column)) return format_number(*number, value);
  return std::isnan(value) ? QStringLiteral("–") : QString::number(static_cast<qint64>(value));
}

QVariant ExpertTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) return {};
  switch (role) {
    case Qt::DisplayRole:
      return text(index.row(), index.column());
    case Qt::ToolTipRole: {
      const double value = number(index.row(), index.column());
      return std::isnan(value) ? tr("not measured") : all_digits(value);
    }
    case kSortRole: {
      // NaN has no order: what was not measured goes below everything.
      const double value = number(index.row(), index.column());
      return std::isnan(value) ? std::numeric_limits<double>::lowest() : value;
    }
    case Qt::TextAlignmentRole:
      return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
    default:
      return {};
  }
}

QVariant ExpertTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (section < 0) return {};
  if (orientation == Qt::Vertical || section >= columnCount())
    return QAbstractTableModel::headerData(section, orientation, role);
  const Header& header = kHeaders[compared_column(section)];
  QString title = QCoreApplication::translate("ExpertTable", header.title);
  QString explanation = QCoreApplication::translate("ExpertTable", header.explanation);
  if (section >= kColumns && is_difference(section)) {
    title = tr("Δ %1").arg(title);
    explanation = tr("%1: this run minus run %2, the baseline").arg(explanation).arg(baseline_run_);
  } else if (section >= kColumns) {
    title = tr("%1, run %2").arg(title).arg(baseline_run_);
    explanation = tr("%1: in run %2, the baseline").arg(explanation).arg(baseline_run_);
  }
  if (role == Qt::DisplayRole) return title;
  if (role == Qt::ToolTipRole) return explanation;
  return {};
}

}  // namespace expertscope
