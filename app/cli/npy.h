// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/formats/output_file.h"

namespace expertscope::cli {

/// Writes a float32 matrix as NumPy's .npy, version 1.0, row by row: nothing is kept in memory.
class NpyWriter {
 public:
  /// `file`: a name, or "-" for standard output.
  static Result<NpyWriter> create(const std::string& file, std::int64_t rows, std::int64_t columns);

  /// Whole rows, in order.
  Status append(std::span<const float> values);
  /// After the last row: until then there is no such file.
  Status finish() { return output_.finish(); }

 private:
  explicit NpyWriter(OutputFile output) : output_(std::move(output)) {}

  OutputFile output_;
};

}  // namespace expertscope::cli
