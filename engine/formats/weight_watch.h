// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace expertscope {

/// Tells whether somebody wrote into files of weights since it was made. Weights are mapped,
/// so what runs reads what stands there at the moment. A file that was replaced by another of its name is as
/// it was: the old one stays mapped.
class WeightWatch {
 public:
  WeightWatch() = default;  ///< of no files
  explicit WeightWatch(const std::vector<std::filesystem::path>& files);

  std::vector<std::string> rewritten() const;
  /// A sentence about them for the person; empty when there are none.
  std::string text() const;

 private:
  struct Stamp {
    std::string path;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = 0;         ///< bytes
    std::int64_t modified_ns = 0;  ///< since 1970
  };
  static bool read(const std::string& path, Stamp& stamp);

  std::vector<Stamp> stamps_;
};

}  // namespace expertscope
