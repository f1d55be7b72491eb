// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

namespace expertscope::simt {

/// splitmix64 (Steele, Lea and Flood 2014): small, quick, and the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed = 0) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// In [0, count); `count` is far below 2^32.
  unsigned below(unsigned count) { return static_cast<unsigned>((next() >> 32) * count >> 32); }

 private:
  std::uint64_t state_;
};

}  // namespace expertscope::simt
