// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>

namespace expertscope {

/// Half a megabyte of a disk, held by a file without a name, so that the end of a recording can be written
/// down on a disk that is full. Where the file system does not offer such files nothing is held.
class DiskReserve {
 public:
  DiskReserve() = default;
  ~DiskReserve() { release(); }
  DiskReserve(const DiskReserve&) = delete;
  DiskReserve& operator=(const DiskReserve&) = delete;

  /// On the disk of `file`.
  void take(const std::filesystem::path& file);
  void release();

 private:
  int descriptor_ = -1;
};

}  // namespace expertscope
