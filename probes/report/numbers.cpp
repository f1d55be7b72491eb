// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/numbers.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace expertscope::numbers {
namespace {

constexpr const char* kNone = "–";
constexpr const char* kMinus = "−";
constexpr const char* kThin = "\u202f";
constexpr int kDigits = 3;

/// Thin spaces between groups of three digits.
std::string grouped(const std::string& digits) {
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += kThin;
    out += digits[i];
  }
  return out;
}

/// Of a positive number.
std::string size_text(double size) {
  // The exponent after rounding: 9.996 is 10.0.
  const std::string scientific = fmt::format("{:.{}e}", size, kDigits - 1);
  const std::size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  if (exponent < -3 || exponent > 6) {
    return fmt::format("{}e{}{}", scientific.substr(0, e), exponent < 0 ? kMinus : "", std::abs(exponent));
  }
  if (exponent >= kDigits) return grouped(fmt::format("{:.0f}", size));
  return fmt::format("{:.{}f}", size, kDigits - 1 - exponent);
}

std::string signed_text(double value, const std::string& size, bool plus) {
  return value < 0 ? kMinus + size : plus && value > 0 ? "+" + size : size;
}

std::string text_of(double value, bool plus) {
  if (!std::isfinite(value)) return kNone;
  return value == 0 ? "0" : signed_text(value, size_text(std::abs(value)), plus);
}

}  // namespace

std::string number(double value) {
  return text_of(value, false);
}

std::string count(std::int64_t value) {
  const std::string digits = std::to_string(value);
  return value < 0 ? kMinus + grouped(digits.substr(1)) : grouped(digits);
}

std::string percent(double share) {
  return std::isfinite(share) ? number(100 * share) + kThin + "%" : kNone;
}

std::string change(double value) {
  return text_of(value, true);
}

std::string change_of_share(double difference) {
  return std::isfinite(difference) ? change(100 * difference) + kThin + "pp" : kNone;
}

std::string all_digits(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : kNone;
}

std::string all_digits(float value) {
  return std::isfinite(value) ? fmt::format("{}", value) : kNone;
}

}  // namespace expertscope::numbers
