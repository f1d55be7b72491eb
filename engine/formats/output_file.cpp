// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/output_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".expertscope-";
constexpr std::string_view kSuffix = ".part";
constexpr std::size_t kDigits = 32;
constexpr int kMostLinks = 40;     // as the kernel follows
constexpr int kMostAttempts = 16;  // to find a free name among 2^128

tl::unexpected<Error> write_error(const fs::path& file, int number) {
  return fail(is_no_room(number) ? ErrorCode::disk_full : ErrorCode::io, "{}: cannot write: {}",
              file.string(), std::generic_category().message(number));
}

/// A short name, whatever the file is called; empty when the system has no random numbers.
std::string random_name() {
  std::array<std::uint64_t, 2> numbers{};
  if (::getrandom(numbers.data(), sizeof(numbers), 0) != static_cast<ssize_t>(sizeof(numbers))) return {};
  return fmt::format("{}{:016x}{:016x}{}", kPrefix, numbers[0], numbers[1], kSuffix);
}

bool is_temporary(std::string_view name) {
  return name.size() == kPrefix.size() + kDigits + kSuffix.size() && name.starts_with(kPrefix) &&
         name.ends_with(kSuffix) &&
         name.substr(kPrefix.size(), kDigits).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// The kernel lifts such a lock when the last descriptor of this opening is closed, however its process ends.
/// The byte is one that SQLite, which may write the file under its name, does not lock. False: another has
/// it.
bool lock(int descriptor, bool wait) {
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = off_t{1} << 62;
  range.l_len = 1;
  return ::fcntl(descriptor, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) == 0;
}

/// Removes a temporary of ours that nobody writes any more.
void remove_if_stale(int folder, const char* name) {
  const Descriptor file(::openat(folder, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  struct stat opened {};
  struct stat named {};
  if (file.get() < 0 || ::fstat(file.get(), &opened) != 0) return;
  if (!S_ISREG(opened.st_mode) || opened.st_uid != ::geteuid() || !lock(file.get(), false)) return;
  const bool same = ::fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                    named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
  if (same) ::unlinkat(folder, name, 0);
}

void remove_stale(int folder) {
  const int listed = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (listed < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(listed), ::closedir);
  if (!list) {
    ::close(listed);
    return;
  }
  while (const dirent* entry = ::readdir(list.get())) {
    if (is_temporary(entry->d_name)) remove_if_stale(folder, entry->d_name);
  }
}

/// What a chain of links leads to, whether that is there or not.
fs::path follow_links(fs::path file, std::error_code& error) {
  error.clear();
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code missing;
    if (!fs::is_symlink(fs::symlink_status(file, missing))) return file;
    const fs::path to = fs::read_symlink(file, error);
    if (error) return {};
    file = file.parent_path() / to;  // an absolute one replaces what stands before it
  }
  error = std::make_error_code(std::errc::too_many_symbolic_link_levels);
  return {};
}

struct Identity {
  dev_t device;
  ino_t number;
};

bool is_same(const fs::path& file, const Identity& other) {
  struct stat info {};
  return ::stat(file.c_str(), &info) == 0 && info.st_dev == other.device && info.st_ino == other.number;
}

/// The file itself, or a file in the folder.
bool holds(const fs::path& path, const Identity& file) {
  std::error_code error;
  if (path.empty()) return false;
  if (!fs::is_directory(path, error)) return is_same(path, file);
  for (auto entry = fs::directory_iterator(path, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (is_same(entry->path(), file)) return true;
  }
  return false;
}

}  // namespace

OutputFile::OutputFile(fs::path file, Descriptor descriptor)
    : file_(std::move(file)), descriptor_(std::move(descriptor)) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : file_(std::move(other.file_)),
      target_(std::move(other.target_)),
      folder_(std::move(other.folder_)),
      temporary_(std::exchange(other.temporary_, {})),
      descriptor_(std::move(other.descriptor_)) {}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) ::unlinkat(folder_.get(), temporary_.c_str(), 0);
}

tl::unexpected<Error> OutputFile::failed(int number) const {
  return write_error(file_, number);
}

OutputFile OutputFile::standard_output() {
  return {"standard output", Descriptor(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1))};
}

Result<OutputFile> OutputFile::create(const fs::path& file, mode_t mode) {
  std::error_code error;
  const auto status = fs::status(file, error);
  if (fs::is_directory(status) || !file.has_filename()) return write_error(file, EISDIR);
  const bool there = fs::exists(status);
  const fs::path target = follow_links(file, error);
  if (error) return write_error(file, error.value());
  OutputFile output(file, Descriptor());
  // What a link of /proc says is not always a name.
  if (there && !(fs::is_regular_file(status) && fs::equivalent(file, target, error))) {
    output.descriptor_ = Descriptor(::open(file.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (output.descriptor_.get() < 0) return output.failed(errno);
    return output;
  }
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  output.target_ = target;
  output.folder_ = Descriptor(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (output.folder_.get() < 0) return output.failed(errno);
  remove_stale(output.folder_.get());
  if (auto opened = output.open_temporary(mode); !opened) return forward_error(opened);
  if (there) {
    if (auto taken = output.take_permissions(target); !taken) return forward_error(taken);
  }
  return output;
}

Status OutputFile::open_temporary(mode_t mode) {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const std::string name = random_name();
    if (name.empty()) return failed(errno);
    Descriptor opened(
        ::openat(folder_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (opened.get() < 0 && errno == EEXIST) continue;
    if (opened.get() < 0) return failed(errno);
    // A file system without locks has nobody who takes the file for a stale one. Until the lock is there,
    // somebody can: then the name is gone.
    (void)lock(opened.get(), true);
    struct stat info {};
    if (::fstat(opened.get(), &info) != 0) return failed(errno);
    if (info.st_nlink == 0) continue;
    descriptor_ = std::move(opened);
    temporary_ = name;
    return {};
  }
  return failed(EEXIST);
}

/// A file that may not be written is not replaced either, and one that few may read stays so.
Status OutputFile::take_permissions(const fs::path& target) {
  struct stat info {};
  if (::faccessat(AT_FDCWD, target.c_str(), W_OK, AT_EACCESS) != 0) return failed(errno);
  if (::stat(target.c_str(), &info) != 0 || ::fchmod(descriptor_.get(), info.st_mode & 0777) != 0)
    return failed(errno);
  return {};
}

Status OutputFile::write(std::string_view bytes) {
  const int problem = write_fully(descriptor_.get(), bytes);
  if (problem != 0) return failed(problem);
  return {};
}

fs::path OutputFile::temporary() const {
  return temporary_.empty() ? fs::path() : target_.parent_path() / temporary_;
}

Status OutputFile::finish() {
  int problem = ::fsync(descriptor_.get()) != 0 ? errno : 0;
  if (temporary_.empty() && (problem == EINVAL || problem == EROFS)) problem = 0;  // a pipe says so
  if (problem == 0 && !temporary_.empty()) {
    const std::string name = target_.filename().string();
    if (::renameat(folder_.get(), temporary_.c_str(), folder_.get(), name.c_str()) != 0) return failed(errno);
    temporary_.clear();
  }
  const int closing = descriptor_.close();  // after the name: until then the lock has to hold
  if (problem == 0) problem = closing;
  if (problem != 0) return failed(problem);
  return {};
}

Status write_file(const fs::path& file, std::string_view text) {
  auto output = OutputFile::create(file);
  if (!output) return forward_error(output);
  if (auto written = output->write(text); !written) return written;
  return output->finish();
}

Status check_output(const fs::path& file, std::initializer_list<ProtectedInput> inputs) {
  const std::string name = file.string();
  for (const char* suffix : {"-wal", "-shm", "-journal"}) {
    if (!name.ends_with(suffix)) continue;
    const std::string base = name.substr(0, name.size() - std::string_view(suffix).size());
    std::error_code error;
    if (!fs::is_regular_file(base, error)) continue;
    return fail(ErrorCode::invalid_argument, "{}: this belongs to the trace {}; choose another name", name,
                base);
  }
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};  // what is not there is nobody's input
  for (const ProtectedInput& input : inputs) {
    if (!holds(input.path, {info.st_dev, info.st_ino})) continue;
    return fail(ErrorCode::invalid_argument, "{}: this is {}; choose another name to write to", name,
                input.what);
  }
  return {};
}

}  // namespace expertscope
