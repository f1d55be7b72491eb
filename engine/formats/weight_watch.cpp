// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/weight_watch.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace expertscope {

WeightWatch::WeightWatch(const std::vector<std::filesystem::path>& files) {
  for (const auto& file : files) {
    Stamp stamp;
    if (read(file.string(), stamp)) stamps_.push_back(std::move(stamp));
  }
}

bool WeightWatch::read(const std::string& path, Stamp& stamp) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return false;
  stamp = {path, info.st_dev, info.st_ino, info.st_size,
           std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
  return true;
}

std::vector<std::string> WeightWatch::rewritten() const {
  std::vector<std::string> files;
  for (const Stamp& then : stamps_) {
    Stamp now;
    const bool same = read(then.path, now) && now.device == then.device && now.inode == then.inode;
    if (same && (now.size != then.size || now.modified_ns != then.modified_ns)) files.push_back(then.path);
  }
  return files;
}

std::string WeightWatch::text() const {
  const auto files = rewritten();
  if (files.empty()) return {};
  const std::string more = files.size() > 1 ? fmt::format(" and {} more weight files", files.size() - 1) : "";
  return fmt::format(
      "{}{} changed while the model was in use: numbers of this run may be of old and new weights; open the "
      "model again",
      files.front(), more);
}

}  // namespace expertscope
