// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QLabel>

namespace expertscope {

/// A short warning on its own ground, with a sign before it. Plain text; hidden when empty. What it means is
/// its tooltip.
class WarningLabel final : public QLabel {
  Q_OBJECT
 public:
  explicit WarningLabel(QWidget* parent = nullptr);

  void set_warning(const QString& text, const QString& tooltip);

 protected:
  void paintEvent(QPaintEvent* event) override;
};

}  // namespace expertscope
