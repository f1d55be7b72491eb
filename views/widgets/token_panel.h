// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/token_slots_model.h"

class QLabel;
class QTableView;

namespace expertscope {

class Subject;

/// The selected token: its text and probability, and its experts in every layer.
class TokenPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit TokenPanel(Subject& subject, QWidget* parent = nullptr);

 private:
  void update_token();

  Subject& subject_;
  TokenSlotsModel slots_;
  QLabel* title_;
  QTableView* table_;
};

}  // namespace expertscope
