// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <ctime>

namespace expertscope::testing {

/// What the clock of a template says in tests: 2026-07-04, 09:05:03, a Saturday.
inline std::tm fourth_of_july() {
  std::tm time{};
  time.tm_year = 126;
  time.tm_mon = 6;
  time.tm_mday = 4;
  time.tm_wday = 6;
  time.tm_yday = 184;
  time.tm_hour = 9;
  time.tm_min = 5;
  time.tm_sec = 3;
  return time;
}

}  // namespace expertscope::testing
