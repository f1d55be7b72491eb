// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/text/jinja/value.h"

namespace expertscope::jinja {

/// JSON text as a value of a template, keys in the order of the text. Errors name `file` and the place.
Result<Value> parse_value(std::string_view json, const std::string& file);

}  // namespace expertscope::jinja
