// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/cached_models.h"

#include <algorithm>

#include "engine/backend/memory.h"
#include "engine/backend/sizes.h"
#include "views/models/plain_text.h"

namespace expertscope {
namespace {

const QString kChannel = QStringLiteral("cached models");

QString size_text(std::int64_t bytes) {
  return QString::fromStdString(format_bytes(static_cast<std::size_t>(bytes)));
}

}  // namespace

QString memory_text(const ModelSummary& summary, std::optional<std::size_t> available) {
  if (!available) return {};
  const auto free = static_cast<std::int64_t>(*available);
  if (summary.kv_cache > free)
    return CachedModels::tr("needs %1 more").arg(size_text(summary.kv_cache - free));
  const std::int64_t left = free - summary.kv_cache;
  if (summary.bytes <= left) return CachedModels::tr("fits, %1 left").arg(size_text(left - summary.bytes));
  return CachedModels::tr("%1 too large: read from disk as it runs").arg(size_text(summary.bytes - left));
}

CachedModels::CachedModels(QObject* parent) : QAbstractTableModel(parent), runner_(this) {}

void CachedModels::read(const std::filesystem::path& cache) {
  runner_.run<std::vector<CachedModel>>(
      kChannel, tr("Looking into %1").arg(visible(cache.string())),
      [cache](const JobContext&) -> Result<std::vector<CachedModel>> { return list_hub_cache(cache); },
      [this](Result<std::vector<CachedModel>> found) {
        beginResetModel();
        rows_.clear();
        for (CachedModel& model : found ? *found : std::vector<CachedModel>())
          rows_.push_back({std::move(model), std::nullopt});
        listed_ = true;
        endResetModel();
        Q_EMIT listed();
        if (!rows_.empty()) summarise(0);
      });
}

void CachedModels::summarise(std::size_t row) {
  runner_.run<ModelSummary>(
      kChannel, tr("Looking at %1").arg(visible(rows_[row].model.name)),
      [path = rows_[row].model.snapshot](const JobContext& context) {
        return summarise_model(path, context.stop);
      },
      [this, row](Result<ModelSummary> summary) {
        rows_[row].summary = std::move(summary);
        Q_EMIT dataChanged(index(static_cast<int>(row), 0), index(static_cast<int>(row), kColumns - 1));
        if (row + 1 < rows_.size()) summarise(row + 1);
      });
}

QString CachedModels::path_of(int row) const {
  return QString::fromStdString(rows_[static_cast<std::size_t>(row)].model.snapshot.string());
}

bool CachedModels::can_open(int row) const {
  const auto& summary = rows_[static_cast<std::size_t>(row)].summary;
  return summary && summary->has_value();
}

int CachedModels::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}

int CachedModels::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : kColumns;
}

/// Without the folder, which is the row's.
QString CachedModels::problem_of(const Row& row) {
  std::string_view message = row.summary->error().message;
  const std::string folder = row.model.snapshot.string();
  if (message.starts_with(folder)) message.remove_prefix(folder.size());
  message.remove_prefix(std::min(message.find_first_not_of("/: "), message.size()));
  return visible(std::string(message));
}

QString CachedModels::text_of(const Row& row, Column column) {
  if (column == kName) return visible(row.model.name);
  if (!row.summary) return column == kMemory ? tr("looking at it…") : QString();
  if (!*row.summary) return column == kMemory ? problem_of(row) : QStringLiteral("–");
  const ModelSummary& summary = **row.summary;
  switch (column) {
    case kFamily:
      return visible(summary.family);
    case kShape:
      return tr("%1 × %2, top-%3").arg(summary.layers).arg(summary.experts).arg(summary.top_k);
    case kFormat:
      return visible(summary.format);
    case kSize:
      return size_text(summary.bytes);
    case kMemory:
      return memory_text(summary, available_memory());
    default:
      return {};
  }
}

QVariant CachedModels::data(const QModelIndex& index, int role) const {
  if (!index.isValid()) return {};
  const Row& row = rows_[static_cast<std::size_t>(index.row())];
  if (role == Qt::DisplayRole) return text_of(row, static_cast<Column>(index.column()));
  if (role == Qt::TextAlignmentRole && index.column() == kSize)
    return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
  if (role != Qt::ToolTipRole) return {};
  const bool problem = row.summary && !*row.summary;
  return plain_tooltip(
      QString::fromStdString(problem ? row.summary->error().message : row.model.snapshot.string()));
}

QVariant CachedModels::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || role != Qt::DisplayRole) return {};
  const QString titles[kColumns] = {tr("model"),  tr("family"), tr("layers × experts"),
                                    tr("format"), tr("size"),   tr("memory")};
  return titles[section];
}

Qt::ItemFlags CachedModels::flags(const QModelIndex& index) const {
  const bool usable = index.isValid() && can_open(index.row());
  return usable ? QAbstractTableModel::flags(index) : Qt::ItemFlags(Qt::NoItemFlags);
}

}  // namespace expertscope
