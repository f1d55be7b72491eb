// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>

#include "engine/error.h"

namespace expertscope::cli {

/// Writes a float32 matrix as NumPy's .npy, version 1.0, row by row: nothing is kept in memory. The rows go
/// to a temporary file beside the target, which appears under its name only when complete. A target that is
/// not a regular file (a pipe, /dev/stdout) is written directly.
class NpyWriter {
 public:
  static Result<NpyWriter> create(const std::filesystem::path& file, std::int64_t rows, std::int64_t columns);
  ~NpyWriter();
  NpyWriter(NpyWriter&& other) noexcept;
  NpyWriter& operator=(NpyWriter&&) = delete;

  /// Whole rows, in order.
  Status append(std::span<const float> values);
  /// After the last row.
  Status finish();

 private:
  NpyWriter(std::filesystem::path file, std::filesystem::path temporary);
  Status failed() const;

  std::filesystem::path file_;
  std::filesystem::path temporary_;  ///< empty: written directly, or finished
  std::ofstream stream_;
};

}  // namespace expertscope::cli
