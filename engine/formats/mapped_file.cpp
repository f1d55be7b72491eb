// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/formats/descriptor.h"

namespace expertscope {
namespace {

std::string reason(int code) {
  return std::generic_category().message(code);
}

struct OpenFile {
  Descriptor descriptor;
  std::size_t size;
};

Result<OpenFile> open_regular(const std::filesystem::path& file) {
  // O_NONBLOCK: a FIFO with a promising name must not block the program.
  Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.get() < 0) {
    const int code = errno;
    struct stat link {};
    if (code == ENOENT && ::lstat(file.c_str(), &link) == 0)
      return fail(ErrorCode::io, "{}: a link to a file that is not there (is the download complete?)",
                  file.string());
    return fail(ErrorCode::io, "{}: cannot be opened: {}", file.string(), reason(code));
  }
  struct stat info {};
  if (::fstat(descriptor.get(), &info) != 0)
    return fail(ErrorCode::io, "{}: cannot be examined: {}", file.string(), reason(errno));
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::io, "{}: not a regular file", file.string());
  return OpenFile{std::move(descriptor), static_cast<std::size_t>(info.st_size)};
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& file) {
  const auto source = open_regular(file);
  if (!source) return forward_error(source);
  MappedFile mapped;
  mapped.path_ = file;
  if (source->size == 0) return mapped;
  void* address = ::mmap(nullptr, source->size, PROT_READ, MAP_PRIVATE, source->descriptor.get(), 0);
  if (address == MAP_FAILED)
    return fail(ErrorCode::io, "{}: cannot be mapped into memory: {}", file.string(), reason(errno));
  mapped.data_ = static_cast<const std::uint8_t*>(address);
  mapped.size_ = source->size;
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

Result<bool> is_there(const std::filesystem::path& file) {
  struct stat info {};
  if (::lstat(file.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return fail(ErrorCode::io, "{}: cannot be examined: {}", file.string(), reason(errno));
}

Result<std::string> read_file(const std::filesystem::path& file, std::size_t max_bytes) {
  const auto source = open_regular(file);
  if (!source) return forward_error(source);
  if (source->size > max_bytes)
    return fail(ErrorCode::format, "{}: {} bytes, more than the {} such a file may have", file.string(),
                source->size, max_bytes);
  std::string bytes(source->size, '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto count = ::read(source->descriptor.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(ErrorCode::io, "{}: cannot be read: {}", file.string(), reason(errno));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace expertscope
