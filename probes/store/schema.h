// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "engine/error.h"
#include "probes/store/database.h"

namespace expertscope {

/// "XSCP": the application_id of a trace; SPEC.md describes the file.
inline constexpr std::int32_t kTraceApplicationId = 0x58534350;
/// user_version of the traces this program writes and reads; any other is refused by name.
inline constexpr int kTraceVersion = 3;
/// Tokens of a full blob.
inline constexpr int kBlockTokens = 256;
/// Where column_block has the columns of tokens, which belong to no layer.
inline constexpr int kTokenLayer = -1;

// Bounds on what a trace may claim; a file beyond them is damaged. The largest models have some 60 layers and
// 23 000 experts in all (Kimi K2: 61 x 384).
inline constexpr int kMaxLayers = 1024;
inline constexpr int kMaxExperts = 16384;                          ///< of a layer
inline constexpr std::int64_t kMaxCells = 1 << 19;                 ///< layers * experts
inline constexpr std::int64_t kMaxTokens = std::int64_t{1} << 48;  ///< an SQLite file has no more bytes

/// Bytes of a text in a trace: names, messages, sampling, the bytes of a token, the domain of a sequence. A
/// prompt, a generated text and a policy have more. What is longer is cut when it is recorded; in a file it
/// is damage.
inline constexpr std::size_t kMaxText = std::size_t{1} << 16;
inline constexpr std::size_t kMaxLongText = std::size_t{1} << 26;

/// The text without what is beyond `most` bytes, cut between two characters.
std::string_view bounded_text(std::string_view text, std::size_t most = kMaxText);

/// Opens a trace for recording; creates it where there is no file (or an empty one).
Result<std::unique_ptr<Database>> open_trace_for_writing(const std::filesystem::path& file);

/// Opens a trace for reading, also from a read-only medium. Refuses what is not a trace or of another
/// version.
Result<std::unique_ptr<Database>> open_trace_for_reading(const std::filesystem::path& file);

}  // namespace expertscope
