// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/error.h"

namespace expertscope {

/// A regular file mapped read-only and private. The size is the one at the time of opening: a file that
/// somebody else shortens while it is mapped raises SIGBUS at the next touch of a lost page, as with every
/// program that maps files; replace model files by renaming, not by rewriting them.
class MappedFile {
 public:
  /// Errors name the file: missing, a dangling link, a folder, not readable.
  static Result<MappedFile> open(const std::filesystem::path& file);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  /// Null for an empty file; aligned to a page otherwise.
  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Whether a file, folder or link of this name is there. An error where that cannot be known: a folder on the
/// way may not be searched.
Result<bool> is_there(const std::filesystem::path& file);

/// The bytes of a regular file of at most `max_bytes`; the same errors as MappedFile::open.
Result<std::string> read_file(const std::filesystem::path& file, std::size_t max_bytes);

}  // namespace expertscope
