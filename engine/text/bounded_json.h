// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/formats/json_fields.h"

namespace expertscope {

/// Bytes of memory that the document of a JSON text may take; that of a vocabulary of 262,144 tokens with its
/// merges takes half of it.
inline constexpr std::size_t kMaxJsonMemory = 256u << 20;

/// Bytes of memory that the document of a JSON text takes, from above and before it is built: a text of
/// brackets becomes thirty times as large.
std::size_t json_memory(std::string_view text);

/// As parse_json, but a text whose document takes more than kMaxJsonMemory is refused.
Result<Json> parse_bounded_json(std::string_view text, const std::string& file);

/// The same for a file of at most `max_bytes`.
Result<Json> read_bounded_json(const std::filesystem::path& file, std::size_t max_bytes);

}  // namespace expertscope
