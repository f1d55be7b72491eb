// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/regex.h"

namespace expertscope {

/// Reads a pattern of tokenizer.json: {"Regex": "..."} or {"String": "..."}.
Result<Regex> parse_pattern(const JsonFields& fields, std::string_view key);

}  // namespace expertscope
