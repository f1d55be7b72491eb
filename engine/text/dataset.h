// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace expertscope {

/// One document of a data set.
struct Document {
  std::string text;
  std::string domain;  ///< empty where the file names none
};

enum class DataFormat : std::uint8_t {
  text,        ///< one document
  json_lines,  ///< a line a document: an object with "text" and optionally "domain"
  json,        ///< the same objects in an array, or one after the other over any lines
};

/// "text", "JSONL", "JSON".
const char* format_name(DataFormat format);

struct DatasetOptions {
  bool skip_bad_lines = false;  ///< documents that cannot be read are left out and counted
  std::string remedy;           ///< added to the error of such a document: "; --this leaves them out"
};

/// What a profile or a perplexity is measured on.
struct Dataset {
  std::string name;    ///< file name, or "standard input"
  std::string sha256;  ///< hex digest of the file
  std::vector<Document> documents;
  DataFormat format = DataFormat::text;
  std::int64_t skipped = 0;        ///< documents left out
  std::string first_skipped = {};  ///< the error of the first of them

  /// Reads a file, a pipe or, as "-", standard input. Names that end in .jsonl, .ndjson, .jsonlines or .json
  /// say what is inside, in letters of any case; under other names it is JSON where the first line or the
  /// first element of an array is an object with a text, else text. Errors name the file, the line and the
  /// reason.
  static Result<Dataset> open(const std::filesystem::path& file, const DatasetOptions& options = {},
                              std::stop_token stop = {});

  /// "mixed.jsonl (JSONL, 20 documents, 1 left out)".
  std::string summary() const;
};

/// Lower-case hex SHA-256 of bytes.
std::string sha256_hex(std::string_view bytes);

}  // namespace expertscope
