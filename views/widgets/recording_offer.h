// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFrame>

class QLabel;

namespace expertscope {

class Workspace;

/// "A recording was interrupted": which one, what is left of it, and the ways on. Hidden while there is none;
/// of several the newest comes first.
class RecordingOffer final : public QFrame {
  Q_OBJECT
 public:
  explicit RecordingOffer(Workspace& workspace, QWidget* parent = nullptr);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  void show_newest();
  void ask_and_discard();

  Workspace& workspace_;
  QLabel* title_;
  QLabel* state_;
};

}  // namespace expertscope
