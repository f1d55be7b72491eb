// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stop_token>
#include <string>

#include "engine/error.h"

namespace expertscope {

/// ErrorCode::cancelled where a stop was asked for while `file` is read; asked in every turn of long loops.
inline Status go_on(const std::stop_token& stop, const std::string& file) {
  if (!stop.stop_requested()) return {};
  return fail(ErrorCode::cancelled, "Reading {} was cancelled", file);
}

}  // namespace expertscope
