// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/npy.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

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

NpyWriter::NpyWriter(std::filesystem::path file, std::filesystem::path temporary)
    : file_(std::move(file)), temporary_(std::move(temporary)) {}

Result<NpyWriter> NpyWriter::create(const std::filesystem::path& file, std::int64_t rows,
                                    std::int64_t columns) {
  std::error_code ignored;
  const bool direct =
      std::filesystem::exists(file, ignored) && !std::filesystem::is_regular_file(file, ignored);
  std::filesystem::path temporary;
  if (!direct) (temporary = file) += ".part";
  NpyWriter writer(file, temporary);
  errno = 0;
  writer.stream_.open(direct ? file : temporary, std::ios::binary | std::ios::trunc);
  const std::string header = npy_header(rows, columns);
  writer.stream_.write(header.data(), static_cast<std::streamsize>(header.size()));
  if (!writer.stream_) return forward_error(writer.failed());
  return writer;
}

NpyWriter::NpyWriter(NpyWriter&& other) noexcept
    : file_(std::move(other.file_)),
      temporary_(std::exchange(other.temporary_, {})),
      stream_(std::move(other.stream_)) {}

NpyWriter::~NpyWriter() {
  if (temporary_.empty()) return;
  stream_.close();
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

Status NpyWriter::failed() const {
  const ErrorCode code = errno == ENOSPC ? ErrorCode::disk_full : ErrorCode::io;
  return fail(code, "{}: cannot write: {}", file_.string(), std::strerror(errno));
}

Status NpyWriter::append(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  stream_.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream_) return failed();
  return {};
}

Status NpyWriter::finish() {
  stream_.close();
  if (!stream_) return failed();
  if (temporary_.empty()) return {};
  std::error_code error;
  std::filesystem::rename(temporary_, file_, error);
  if (error) return fail(ErrorCode::io, "{}: cannot write: {}", file_.string(), error.message());
  temporary_.clear();
  return {};
}

}  // namespace expertscope::cli
