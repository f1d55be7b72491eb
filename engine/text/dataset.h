// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/error.h"

namespace expertscope {

/// One document of a data set.
struct Document {
  std::string text;
  std::string domain;  ///< empty where the file names none
};

/// A text file (one document), or JSONL with "text" and optional "domain" in every line.
struct Dataset {
  std::string name;    ///< file name
  std::string sha256;  ///< hex digest of the file
  std::vector<Document> documents;

  /// A file that ends in .jsonl is JSONL; errors name the file and the line.
  static Result<Dataset> open(const std::filesystem::path& file);
};

/// Lower-case hex SHA-256 of bytes.
std::string sha256_hex(std::string_view bytes);

}  // namespace expertscope
