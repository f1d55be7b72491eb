// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QProgressBar;
class QToolButton;

namespace expertscope {

class ElidedLabel;

/// What is being opened, at which phase it is and how far, in the status bar; with a button that ends it.
class OpeningProgress final : public QWidget {
  Q_OBJECT
 public:
  explicit OpeningProgress(QWidget* parent = nullptr);

  void begin(const QString& what);
  /// `fraction` < 0: how far is not known.
  void show_phase(const QString& phase, double fraction);
  void end();
  /// All of it, also where there is no room to show it; empty when nothing is being opened.
  QString text() const;

 Q_SIGNALS:
  void cancelled();

 private:
  QString what_;
  ElidedLabel* label_;
  QProgressBar* bar_;
  QToolButton* cancel_;
};

}  // namespace expertscope
