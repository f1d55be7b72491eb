// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

#include "engine/error.h"
#include "engine/text/jinja/ast.h"

namespace expertscope::jinja {

/// Parses the part of Jinja (https://jinja.palletsprojects.com) that chat templates use: output, if, for,
/// set, macro, generation, expressions without dictionaries and floats. Everything else is refused by name
/// and line, and so is what limits.h forbids.
Result<Block> parse(std::string_view source);

}  // namespace expertscope::jinja
