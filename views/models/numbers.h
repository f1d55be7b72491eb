// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

#include "probes/report/numbers.h"

namespace expertscope {

// The numbers of probes/report/numbers.h for Qt.
inline QString number_text(double value) {
  return QString::fromStdString(numbers::number(value));
}
inline QString count_text(std::int64_t value) {
  return QString::fromStdString(numbers::count(value));
}
inline QString percent_text(double share) {
  return QString::fromStdString(numbers::percent(share));
}
inline QString change_text(double value) {
  return QString::fromStdString(numbers::change(value));
}
inline QString change_of_share_text(double difference) {
  return QString::fromStdString(numbers::change_of_share(difference));
}
template <class Number>
QString all_digits(Number value) {
  return QString::fromStdString(numbers::all_digits(value));
}

}  // namespace expertscope
