// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <utility>

#include "engine/error.h"
#include "engine/text/sha256.h"

namespace expertscope {

/// How many bytes a text may have; what is not a regular file does not say beforehand how many it has.
struct TextLimits {
  std::size_t file = std::size_t{4} << 30;
  std::size_t stream = 250'000'000;
};

/// A text that a person names, piece by piece: a file, a pipe, a device or, as "-", standard input.
class TextSource {
 public:
  /// Errors name the file: missing, not readable, a folder, too large.
  static Result<TextSource> open(const std::filesystem::path& file, const TextLimits& limits = {},
                                 std::stop_token stop = {});
  TextSource(TextSource&& other) noexcept;
  TextSource(const TextSource&) = delete;
  TextSource& operator=(const TextSource&) = delete;
  TextSource& operator=(TextSource&&) = delete;
  ~TextSource();

  /// Appends what comes next, at most a mebibyte; false at the end. Waits for what a pipe brings, until the
  /// stop token is set. A byte order mark at the start is left out.
  Result<bool> read(std::string& buffer);

  /// The file as the person named it, or "standard input".
  const std::string& name() const { return name_; }
  /// Without its folders.
  std::string short_name() const;
  /// Bytes that a regular file has; 0 for others.
  std::size_t size() const { return size_; }
  /// Hex digest of all bytes, the byte order mark included; to be asked at the end.
  std::string sha256() { return digest_.hex(); }

 private:
  TextSource() = default;
  Status wait() const;
  Result<bool> take(std::string& buffer);

  std::string name_;
  int descriptor_ = -1;
  bool owned_ = false;
  bool regular_ = false;
  std::size_t limit_ = 0;
  std::size_t size_ = 0;
  std::size_t done_ = 0;
  std::stop_token stop_;
  std::string piece_;  ///< what is read into; kept, so that small pieces cost what they are
  Sha256 digest_;
};

/// Appends all that is left of the source to `text` and checks that the whole is UTF-8; errors name the line.
Status read_rest(TextSource& source, std::string& text);

/// A prompt from a file: as a data set's text, without the byte order mark and with its last line break.
Result<std::string> read_prompt(const std::filesystem::path& file, std::stop_token stop = {});

}  // namespace expertscope
