// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDoubleSpinBox>

namespace expertscope {

/// A number with a decimal point, which may be typed or pasted as a comma: keypads of many countries have no
/// other.
class DecimalSpinBox final : public QDoubleSpinBox {
 public:
  using QDoubleSpinBox::QDoubleSpinBox;

  QValidator::State validate(QString& input, int& position) const override {
    input.replace(QLatin1Char(','), QLatin1Char('.'));
    return QDoubleSpinBox::validate(input, position);
  }
};

}  // namespace expertscope
