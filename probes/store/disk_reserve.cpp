// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace expertscope {
namespace {

// Some pages of 32 KiB with the row of the run, its long texts and their way from the root.
constexpr off_t kReserve = 512 << 10;

}  // namespace

void DiskReserve::take(const std::filesystem::path& file) {
  release();
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  descriptor_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
  // A disk without room for the reserve is full already; the recording will say so itself.
  if (descriptor_ >= 0 && ::fallocate(descriptor_, 0, 0, kReserve) != 0) release();
}

void DiskReserve::release() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

}  // namespace expertscope
