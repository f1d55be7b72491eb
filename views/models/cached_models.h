// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractTableModel>
#include <filesystem>
#include <optional>
#include <vector>

#include "engine/model/hub_cache.h"
#include "engine/run/model_summary.h"
#include "views/models/job_runner.h"

namespace expertscope {

/// The models of a Hugging Face cache. The list is read in a worker, and then of one model after the other
/// what can be told of it; one that cannot be opened says why.
class CachedModels final : public QAbstractTableModel {
  Q_OBJECT
 public:
  enum Column { kName, kFamily, kShape, kFormat, kSize, kMemory, kColumns };

  explicit CachedModels(QObject* parent = nullptr);

  void read(const std::filesystem::path& cache);
  /// Whether what it has is what the cache holds.
  bool is_listed() const { return listed_; }
  QString path_of(int row) const;
  /// False while it is being looked at, too.
  bool can_open(int row) const;

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;
  Qt::ItemFlags flags(const QModelIndex& index) const override;

 Q_SIGNALS:
  void listed();

 private:
  struct Row {
    CachedModel model;
    std::optional<Result<ModelSummary>> summary;  ///< none: not looked at yet
  };
  void summarise(std::size_t row);
  static QString problem_of(const Row& row);
  static QString text_of(const Row& row, Column column);

  JobRunner runner_;
  std::vector<Row> rows_;
  bool listed_ = false;
};

/// Whether `summary` fits into `available` bytes of memory, and by how much, in words.
QString memory_text(const ModelSummary& summary, std::optional<std::size_t> available);

}  // namespace expertscope
