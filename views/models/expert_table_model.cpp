// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/expert_table_model.h"

#include <QCoreApplication>
#include <QLocale>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "views/models/heatmap_data.h"

namespace expertscope {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

struct Header {
  const char* title;
  const char* explanation;
};

constexpr std::array<Header, ExpertTableModel::kColumns> kHeaders = {{
    {QT_TRANSLATE_NOOP("ExpertTable", "Layer"), QT_TRANSLATE_NOOP("ExpertTable", "Decoder layer")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Expert"), QT_TRANSLATE_NOOP("ExpertTable", "Routed expert")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Slots"),
     QT_TRANSLATE_NOOP("ExpertTable", "Slots routed to the expert")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Share"),
     QT_TRANSLATE_NOOP("ExpertTable", "Share of the layer's routed slots")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Mean weight"),
     QT_TRANSLATE_NOOP("ExpertTable", "Mean combine weight over the expert's slots")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Prob."),
     QT_TRANSLATE_NOOP("ExpertTable", "Mean router probability over the expert's slots")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Output norm"),
     QT_TRANSLATE_NOOP("ExpertTable", "Mean L2 norm of the expert's output")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Max |down_proj|"),
     QT_TRANSLATE_NOOP("ExpertTable", "Largest absolute value in the expert's down_proj output")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Channel"),
     QT_TRANSLATE_NOOP("ExpertTable", "Channel of that maximum")},
    {QT_TRANSLATE_NOOP("ExpertTable", "Token"),
     QT_TRANSLATE_NOOP("ExpertTable", "Token of that maximum, counted from 0 in the run")},
}};

/// sum / count; NaN for an expert that never ran.
double mean(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : kNotMeasured;
}

bool same_shape(const RunSnapshot* a, const RunSnapshot* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->load.layers.size() == b->load.layers.size() && a->table.experts == b->table.experts &&
         a->table.moe_layer == b->table.moe_layer;
}

}  // namespace

void ExpertTableModel::set_snapshot(std::shared_ptr<const RunSnapshot> snapshot) {
  if (same_shape(snapshot_.get(), snapshot.get())) {
    snapshot_ = std::move(snapshot);
    if (rowCount() > 0) Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, kColumns - 1));
    return;
  }
  beginResetModel();
  snapshot_ = std::move(snapshot);
  endResetModel();
}

Cell ExpertTableModel::cell_of(int row) const {
  if (row < 0 || row >= rowCount()) return {};
  const int experts = snapshot_->table.experts;
  return {snapshot_->load.layers[static_cast<std::size_t>(row / experts)].layer, row % experts};
}

int ExpertTableModel::row_of(Cell cell) const {
  if (!snapshot_ || cell.expert < 0 || cell.expert >= snapshot_->table.experts) return -1;
  const auto& layers = snapshot_->load.layers;
  const auto at = std::find_if(layers.begin(), layers.end(),
                               [&](const LayerLoad& layer) { return layer.layer == cell.layer; });
  if (at == layers.end()) return -1;
  return static_cast<int>(at - layers.begin()) * snapshot_->table.experts + cell.expert;
}

int ExpertTableModel::rowCount(const QModelIndex& parent) const {
  if (parent.isValid() || !snapshot_) return 0;
  return static_cast<int>(snapshot_->load.layers.size()) * snapshot_->table.experts;
}

int ExpertTableModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : kColumns;
}

double ExpertTableModel::number(int row, int column) const {
  const Cell cell = cell_of(row);
  const ExpertStats& stats = snapshot_->table.at(cell.layer, cell.expert);
  const bool measured = stats.output_channel >= 0;
  const auto layer = static_cast<std::size_t>(row / snapshot_->table.experts);
  switch (column) {
    case kLayer:
      return cell.layer;
    case kExpert:
      return cell.expert;
    case kCount:
      return static_cast<double>(stats.count);
    case kShare:
      return snapshot_->load.layers[layer].share[static_cast<std::size_t>(cell.expert)];
    case kWeight:
      return mean(stats.weight_sum, stats.count);
    case kProbability:
      return mean(stats.probability_sum, stats.count);
    case kNorm:
      return measured ? mean(stats.norm_sum, stats.count) : kNotMeasured;
    case kOutputMax:
      return measured ? stats.output_max : kNotMeasured;
    case kChannel:
      return measured ? stats.output_channel : kNotMeasured;
    case kToken:
      return stats.output_token >= 0 ? static_cast<double>(stats.output_token) : kNotMeasured;
    default:
      return kNotMeasured;
  }
}

QString ExpertTableModel::text(int row, int column) const {
  const double value = number(row, column);
  if (std::isnan(value)) return QStringLiteral("–");
  switch (column) {
    case kShare:
      return format_metric(HeatmapMetric::load, value);
    case kWeight:
    case kProbability:
    case kNorm:
    case kOutputMax:
      return QString::number(value, 'g', 4);
    default:
      return QString::number(static_cast<qint64>(value));
  }
}

QVariant ExpertTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) return {};
  switch (role) {
    case Qt::DisplayRole:
      return text(index.row(), index.column());
    case Qt::ToolTipRole: {
      const double value = number(index.row(), index.column());
      return std::isnan(value) ? tr("not measured")
                               : QString::number(value, 'g', QLocale::FloatingPointShortest);
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
  if (orientation == Qt::Vertical || section >= kColumns)
    return QAbstractTableModel::headerData(section, orientation, role);
  const Header& header = kHeaders[static_cast<std::size_t>(section)];
  if (role == Qt::DisplayRole) return QCoreApplication::translate("ExpertTable", header.title);
  if (role == Qt::ToolTipRole) return QCoreApplication::translate("ExpertTable", header.explanation);
  return {};
}

}  // namespace expertscope
