// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/analysis_table_model.h"

#include <cmath>
#include <limits>

#include "views/models/numbers.h"
#include "views/models/token_text.h"

namespace expertscope {
namespace {

const QString kNone = QStringLiteral("–");

bool is_share(const Column& column) {
  return column.info().unit == "share";
}

}  // namespace

QString column_text(const Column& column, std::size_t row) {
  if (!column.has(row)) return kNone;
  switch (column.type()) {
    case ColumnType::text:
      return visible_token_text(column.text(row));
    case ColumnType::flag:
      return column.integer(row) != 0 ? QStringLiteral("✓") : QString();
    case ColumnType::integer:
      if (column.info().unit == "expert") return expert_number_text(static_cast<int>(column.integer(row)));
      return column.info().is_name() ? QString::number(column.integer(row)) : count_text(column.integer(row));
    case ColumnType::number:
      return is_share(column) ? percent_text(column.number(row)) : number_text(column.number(row));
  }
  return {};
}

QString column_details(const Column& column, std::size_t row) {
  if (column.type() != ColumnType::number || !column.has(row)) return column_text(column, row);
  return is_share(column) ? all_digits(column.number(row) * 100) + QStringLiteral(" %")
                          : all_digits(column.number(row));
}

void AnalysisTableModel::set_table(std::shared_ptr<const AnalysisResult> result, const Table* table) {
  const bool same_shape = table_ != nullptr && table != nullptr && table_->rows() == table->rows() &&
                          table_->columns.size() == table->columns.size() && table_->id == table->id;
  if (!same_shape) beginResetModel();
  result_ = std::move(result);
  table_ = table;
  if (!same_shape) {
    endResetModel();
  } else if (rowCount() > 0) {
    Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
  }
}

Cell AnalysisTableModel::cell_of(int row) const {
  if (row < 0 || row >= rowCount()) return {};
  const Column* layer = table_->find("layer");
  const Column* expert = table_->find("expert");
  const auto at = static_cast<std::size_t>(row);
  if (layer == nullptr) return {};
  return {static_cast<int>(layer->integer(at)),
          expert != nullptr ? static_cast<int>(expert->integer(at)) : 0};
}

int AnalysisTableModel::row_of(Cell cell) const {
  if (table_ == nullptr || table_->find("layer") == nullptr) return -1;
  const bool of_expert = table_->find("expert") != nullptr;
  for (int row = 0; row < rowCount(); ++row) {
    const Cell found = cell_of(row);
    if (found.layer == cell.layer && (!of_expert || found.expert == cell.expert)) return row;
  }
  return -1;
}

int AnalysisTableModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() || table_ == nullptr ? 0 : static_cast<int>(table_->rows());
}

int AnalysisTableModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() || table_ == nullptr ? 0 : static_cast<int>(table_->columns.size());
}

QVariant AnalysisTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount() || index.column() >= columnCount()) return {};
  const Column& column = table_->columns[static_cast<std::size_t>(index.column())];
  const auto row = static_cast<std::size_t>(index.row());
  switch (role) {
    case Qt::DisplayRole:
      return column_text(column, row);
    case Qt::ToolTipRole:
      return column_details(column, row);
    case Qt::TextAlignmentRole:
      return static_cast<int>(Qt::AlignVCenter |
                              (column.type() == ColumnType::text ? Qt::AlignLeft : Qt::AlignRight));
    case kSortRole:
      if (column.type() == ColumnType::text) return QString::fromStdString(column.text(row));
      // NaN has no order: what is missing goes below everything.
      return column.has(row) ? column.number(row) : std::numeric_limits<double>::lowest();
    default:
      return {};
  }
}

QVariant AnalysisTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation == Qt::Vertical || section < 0 || section >= columnCount())
    return QAbstractTableModel::headerData(section, orientation, role);
  const ColumnInfo& info = table_->columns[static_cast<std::size_t>(section)].info();
  if (role == Qt::DisplayRole) return QString::fromStdString(info.title);
  if (role == Qt::ToolTipRole) {
    const QString unit = QString::fromStdString(info.unit);
    const QString meaning = QString::fromStdString(info.meaning);
    return unit.isEmpty() || unit == QLatin1String("share") ? meaning : tr("%1 In %2.").arg(meaning, unit);
  }
  return {};
}

}  // namespace expertscope
