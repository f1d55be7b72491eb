// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFrame>

class QLabel;

namespace expertscope {

class InterruptedRecordings;

/// "A recording was interrupted": which one, what is left of it, and the ways on. Hidden while there is none;
/// of several the newest comes first.
class RecordingOffer final : public QFrame {
  Q_OBJECT
 public:
  explicit RecordingOffer(InterruptedRecordings& interrupted, QWidget* parent = nullptr);

 Q_SIGNALS:
  /// The recording is to be opened: InterruptedRecordings leaves it out once it is.
  void open_wanted(const QString& file);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  void show_newest();
  void ask_and_discard();

  InterruptedRecordings& interrupted_;
  QLabel* title_;
  QLabel* state_;
};

}  // namespace expertscope
