// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

namespace expertscope {

/// What somebody was doing when it failed, or has to wait. What is said about it is obsolete when the same is
/// begun again or done.
enum class Task : std::uint8_t {
  open,  ///< a model or a trace, or giving the open model another backend
  run,   ///< generating or comparing
  edit,  ///< the routing, also by a policy file
  read,  ///< the open trace
  save,  ///< any file
  wait,  ///< for another program that has locked the recording
};

}  // namespace expertscope
