// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/token_slots_model.h"

class QLabel;
class QTableView;

namespace expertscope {

class Workspace;

/// The selected token: its text and probability, and its experts in every layer.
class TokenPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit TokenPanel(Workspace& workspace, QWidget* parent = nullptr);

 private:
  void update_token();

  Workspace& workspace_;
  TokenSlotsModel slots_;
  QLabel* title_;
  QTableView* table_;
};

}  // namespace expertscope
