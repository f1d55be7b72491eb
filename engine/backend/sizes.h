// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

namespace expertscope {

/// A byte count that remembers an overflow instead of wrapping: sizes come from files and command lines.
class CheckedSize {
 public:
  CheckedSize(std::int64_t value)  // NOLINT(google-explicit-constructor): reads as a number
      : value_(static_cast<std::size_t>(value)), valid_(value >= 0) {}

  friend CheckedSize operator*(CheckedSize a, CheckedSize b) {
    CheckedSize result(0);
    result.valid_ = !__builtin_mul_overflow(a.value_, b.value_, &result.value_) && a.valid_ && b.valid_;
    return result;
  }
  friend CheckedSize operator+(CheckedSize a, CheckedSize b) {
    CheckedSize result(0);
    result.valid_ = !__builtin_add_overflow(a.value_, b.value_, &result.value_) && a.valid_ && b.valid_;
    return result;
  }
  /// The number, or the largest one there is: more than any machine has.
  std::size_t value() const { return valid_ ? value_ : std::numeric_limits<std::size_t>::max(); }

 private:
  std::size_t value_;
  bool valid_;
};

/// "96 B", "1.5 GiB".
std::string format_bytes(std::size_t bytes);

}  // namespace expertscope
