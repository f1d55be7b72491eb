// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/sizes.h"

#include <fmt/format.h>

#include <array>

namespace expertscope {

std::string format_bytes(std::size_t bytes) {
  constexpr std::array units = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace expertscope
