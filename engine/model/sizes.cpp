// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/sizes.h"

#include <fmt/format.h>

namespace expertscope {

std::string format_bytes(std::size_t bytes) {
  constexpr double kMiB = 1024.0 * 1024.0;
  const auto mib = static_cast<double>(bytes) / kMiB;
  return mib >= 1024 ? fmt::format("{:.1f} GiB", mib / 1024) : fmt::format("{:.1f} MiB", mib);
}

}  // namespace expertscope
