// SPDX-License-Identifier: GPL-3.0-or-later
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "probes/report/report.h"

namespace expertscope {
namespace {

tl::unexpected<Error> write_error(const std::filesystem::path& file, int number) {
  const bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
  return fail(full ? ErrorCode::disk_full : ErrorCode::io, "{}: cannot write: {}", file.string(),
              std::generic_category().message(number));
}

// All of it and onto the disk; 0 or an errno.
int write_all(int descriptor, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(descriptor, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    done += static_cast<std::size_t>(written);
  }
  return ::fsync(descriptor) != 0 ? errno : 0;
}

// Writes into what is there: a device, a pipe.
Status write_through(const std::filesystem::path& file, const std::string& text) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return write_error(file, errno);
  int problem = write_all(descriptor, text);
  if (problem == EINVAL || problem == EROFS) problem = 0;  // what fsync says of a pipe
  if (::close(descriptor) != 0 && problem == 0) problem = errno;
  if (problem != 0) return write_error(file, problem);
  return {};
}

}  // namespace

Status write_file(const std::filesystem::path& file, const std::string& text) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (std::filesystem::is_directory(status)) return write_error(file, EISDIR);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return write_through(file, text);
  }
  // A link stays a link: what it points to is replaced.
  const bool link = std::filesystem::is_symlink(std::filesystem::symlink_status(file, error));
  const auto target = link ? std::filesystem::weakly_canonical(file, error) : file;
  const std::string temporary = fmt::format("{}.{}.tmp", target.string(), ::getpid());
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return write_error(file, errno);
  int problem = write_all(descriptor, text);
  if (::close(descriptor) != 0 && problem == 0) problem = errno;
  if (problem == 0 && ::rename(temporary.c_str(), target.c_str()) != 0) problem = errno;
  if (problem == 0) return {};
  ::unlink(temporary.c_str());
  return write_error(file, problem);
}

}  // namespace expertscope
