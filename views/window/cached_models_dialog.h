// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>
#include <filesystem>

#include "views/models/cached_models.h"

class QLabel;
class QPushButton;
class QTableView;

namespace expertscope {

/// Which of the models in a Hugging Face cache is to be opened.
class CachedModelsDialog final : public QDialog {
  Q_OBJECT
 public:
  explicit CachedModelsDialog(const std::filesystem::path& cache, QWidget* parent = nullptr);

 Q_SIGNALS:
  void open_wanted(const QString& path);

 private:
  void say_what_there_is(const std::filesystem::path& cache);
  void update_button();
  void choose();

  CachedModels models_;
  QTableView* table_;
  QLabel* where_;
  QPushButton* open_;
};

}  // namespace expertscope
