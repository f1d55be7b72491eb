// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <unistd.h>

#include <string_view>
#include <utility>

namespace expertscope {

/// A file descriptor that closes itself; -1: none.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  /// What close() says of the last writes: 0 or an errno.
  int close();

 private:
  int fd_;
};

/// Writes all of it, also where the descriptor takes it in parts or not at once. 0 or an errno.
int write_fully(int descriptor, std::string_view bytes);

/// Whether an errno says that there is no room: no space, no quota, or the limit on the size of a file.
bool is_no_room(int number);

/// To be called first in main(). Standard descriptors that are closed are taken by something that can neither
/// be read nor written, so that no file the program opens becomes one of them and gets its messages; and a
/// pipe that nobody reads any more is the error of a write, not the end of the process.
void guard_standard_streams();

}  // namespace expertscope
