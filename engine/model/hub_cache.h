// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace expertscope {

// The cache in which huggingface_hub keeps what it downloads:
//   <cache>/models--<org>--<name>/refs/<branch or tag>        a text file with the commit it stands for
//   <cache>/models--<org>--<name>/snapshots/<commit>/<file>   a link into blobs/
// https://huggingface.co/docs/huggingface_hub/guides/manage-cache. Nothing is ever downloaded.

/// A model as it is called on the hub.
struct HubName {
  std::string repository;  ///< "org/name"
  std::string revision;  ///< a branch, a tag, or a commit or its first digits; empty: main, else the only one
};
/// Of "org/name" or "org/name@revision"; none where the hub allows no such name, as of most paths.
std::optional<HubName> parse_hub_name(std::string_view word);

/// The value of an environment variable; null: it is not set.
using Environment = std::function<const char*(const char* variable)>;
/// The folder of the cache: HF_HUB_CACHE, or hub in HF_HOME, or huggingface/hub in XDG_CACHE_HOME or in
/// .cache of HOME. Empty where none of them is set.
std::filesystem::path hub_cache(const Environment& environment);
/// That of this process.
std::filesystem::path hub_cache();

/// Whether a folder of a cache has the name of a model's entry.
bool is_hub_entry(const std::filesystem::path& folder);
/// The snapshot that the entry of a model holds for a revision, with everything in it that was downloaded.
/// Errors say which revisions there are, and of a snapshot what is missing.
Result<std::filesystem::path> find_snapshot(const std::filesystem::path& entry,
                                            const std::string& revision = {});
/// The same of a model by its name. ErrorCode::io where the cache does not have it.
Result<std::filesystem::path> find_snapshot(const std::filesystem::path& cache, const HubName& name);

/// A model in a cache.
struct CachedModel {
  std::string name;  ///< "org/name"; of a snapshot that is not the usual one "org/name@0123456789ab"
  std::filesystem::path snapshot;  ///< whole or not
};
/// All of them, by name; none where there is no such folder.
std::vector<CachedModel> list_hub_cache(const std::filesystem::path& cache);

}  // namespace expertscope
