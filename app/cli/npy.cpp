// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/npy.h"

#include <bit>
#include <utility>

#include "app/cli/console.h"

namespace expertscope::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

/// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html: the data begins at a multiple
/// of 64.
std::string npy_header(std::int64_t rows, std::int64_t columns) {
  std::string text =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
  constexpr std::size_t kPreamble = 10;
  text.append(63 - (kPreamble + text.size()) % 64, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace

Result<NpyWriter> NpyWriter::create(const std::string& file, std::int64_t rows, std::int64_t columns) {
  auto output =
      is_standard_output(file) ? Result<OutputFile>(OutputFile::standard_output()) : OutputFile::create(file);
  if (!output) return forward_error(output);
  if (auto written = output->write(npy_header(rows, columns)); !written) return forward_error(written);
  return NpyWriter(std::move(*output));
}

Status NpyWriter::append(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  return output_.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace expertscope::cli
