// SPDX-License-Identifier: GPL-3.0-or-later
#include "simt/warp.h"

namespace expertscope::simt {

void complete_ballot(void* const (&lanes)[32], unsigned mask) {
  unsigned votes = 0;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    votes |= *static_cast<const unsigned*>(lanes[lane]) << lane;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    *static_cast<unsigned*>(lanes[std::countr_zero(rest)]) = votes;
  }
}

void complete_nothing(void* const (&)[32], unsigned) {}

}  // namespace expertscope::simt
