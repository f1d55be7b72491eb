// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>

/// How people read numbers, in the report and in the window: three significant digits, U+2212 as minus, a
/// thin space (U+202F) in thousands and before %, 0 as "0", an en dash for what is no number. All digits are
/// for files and tooltips. UTF-8.
namespace expertscope::numbers {

/// "0.0123", "8.70", "744", "16 944"; outside of 0.001 to 10 million "1.23e−5".
std::string number(double value);
/// All of it: "16 944".
std::string count(std::int64_t value);
/// Of a share: "12.5 %".
std::string percent(double share);
/// With its sign, but for 0: "+0.340".
std::string change(double value);
/// Of a difference of shares, in percentage points: "−2.31 pp".
std::string change_of_share(double difference);
/// The shortest text that reads back as the same number.
std::string all_digits(double value);
std::string all_digits(float value);

}  // namespace expertscope::numbers
