// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

/// Rewrites a pattern of Oniguruma's Ruby syntax so that PCRE2 (with UTF and UCP) reads it the same way: \s,
/// \w, \h and \p{Han} name other sets there. Refused by name: set operations inside a class and options that
/// mean something else. `where` names the file and the field in errors.
Result<std::string> oniguruma_to_pcre(std::string_view pattern, const std::string& where);

}  // namespace expertscope
