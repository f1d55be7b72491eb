// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/hub_cache.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <vector>

#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEntry = "models--";
constexpr std::size_t kLongestName = 96;       // of the hub
constexpr std::size_t kLongestRevision = 256;  // of a file name
constexpr std::size_t kFewestDigits = 4;       // of a commit
constexpr std::size_t kShownDigits = 12;
constexpr std::size_t kMostListed = 1000;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// One part of a name: a folder that is called so lies where it is looked for.
bool is_plain(std::string_view part) {
  return !part.empty() && part.front() != '.' && part.front() != '-' && part.back() != '.' &&
         part.find("..") == std::string_view::npos &&
         std::all_of(part.begin(), part.end(), [](char c) { return is_word(c) || c == '-' || c == '.'; });
}

bool is_repository_part(std::string_view part) {
  return is_plain(part) && part.back() != '-' && part.find("--") == std::string_view::npos;
}

/// Parts between slashes, as "refs/pr/1" has.
bool is_revision(std::string_view revision) {
  if (revision.size() > kLongestRevision) return false;
  while (true) {
    const std::size_t slash = revision.find('/');
    if (!is_plain(revision.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    revision.remove_prefix(slash + 1);
  }
}

/// The snapshot that refs/<name> stands for; empty where there is none.
fs::path referred(const fs::path& entry, const std::string& name) {
  auto commit = read_file(entry / "refs" / name, kLongestRevision).value_or("");
  commit.erase(commit.find_last_not_of(" \r\n") + 1);
  if (!is_plain(commit)) return {};
  const auto snapshot = entry / "snapshots" / commit;
  return is_there(snapshot).value_or(false) ? snapshot : fs::path();
}

Result<std::vector<fs::path>> snapshots_of(const fs::path& entry) {
  std::set<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(entry / "snapshots", error), end; !error && it != end; it.increment(error))
    found.insert(it->path());
  if (error) return fail(ErrorCode::io, "{}: cannot be listed: {}", entry.string(), error.message());
  return std::vector<fs::path>(found.begin(), found.end());
}

bool has_config(const fs::path& snapshot) {
  return !snapshot.empty() && is_there(snapshot / "config.json").value_or(false);
}

Result<fs::path> usual_snapshot(const fs::path& entry) {
  auto main = referred(entry, "main");
  if (has_config(main)) return main;
  auto all = snapshots_of(entry);
  if (!all) return forward_error(all);
  all->erase(std::remove_if(all->begin(), all->end(), [](const fs::path& s) { return !has_config(s); }),
             all->end());
  if (all->size() == 1) return all->front();
  if (all->empty() && !main.empty()) return main;
  if (all->empty())
    return fail(ErrorCode::io,
                "{}: this entry of a Hugging Face cache has no snapshot with a config.json; download the "
                "model again",
                entry.string());
  return fail(ErrorCode::invalid_argument,
              "{}: this entry of a Hugging Face cache has {} snapshots; open one of them, such as {}",
              entry.string(), all->size(), all->front().string());
}

Result<fs::path> revised_snapshot(const fs::path& entry, const std::string& revision) {
  if (auto named = referred(entry, revision); !named.empty()) return named;
  const auto all = snapshots_of(entry);
  if (!all) return forward_error(all);
  std::vector<fs::path> meant;
  std::vector<std::string> commits;
  for (const fs::path& snapshot : *all) {
    commits.push_back(snapshot.filename().string());
    if (revision.size() >= kFewestDigits && commits.back().starts_with(revision)) meant.push_back(snapshot);
  }
  if (meant.size() == 1) return meant.front();
  constexpr std::size_t kShown = 5;
  const std::size_t shown = std::min(kShown, commits.size());
  return fail(meant.empty() ? ErrorCode::io : ErrorCode::invalid_argument,
              "{}: the revision {} {} in this entry of a Hugging Face cache, which has {}{}", entry.string(),
              revision, meant.empty() ? "is not" : "stands for several",
              fmt::join(commits.begin(), commits.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
              commits.size() > shown ? ", ..." : "");
}

tl::unexpected<Error> incomplete(const fs::path& snapshot, const std::string& file) {
  return fail(ErrorCode::io,
              "{}: this snapshot of a Hugging Face cache is incomplete: {} was not downloaded; download the "
              "model again",
              snapshot.string(), file);
}

/// Whether opening a model reads such a file; people delete others to save room.
bool is_of_model(const fs::path& file) {
  static constexpr std::string_view kRead[] = {".json", ".safetensors", ".jinja", ".model", ".gguf"};
  return std::find(std::begin(kRead), std::end(kRead), file.extension().string()) != std::end(kRead);
}

/// That every link has its blob, and every shard of the index a link.
Status check_whole(const fs::path& snapshot) {
  std::error_code error;
  bool gguf = false;
  for (fs::directory_iterator it(snapshot, error), end; !error && it != end; it.increment(error)) {
    const fs::path& file = it->path();
    if (std::error_code none; is_of_model(file) && !fs::exists(file, none))
      return incomplete(snapshot, file.filename().string());
    gguf = gguf || file.extension() == ".gguf";
  }
  if (error) return fail(ErrorCode::io, "{}: cannot be listed: {}", snapshot.string(), error.message());
  if (gguf) return {};  // files to be opened by themselves
  if (!has_config(snapshot)) return incomplete(snapshot, "config.json");
  constexpr std::size_t kMaxBytes = 64u << 20;
  const auto index = snapshot / "model.safetensors.index.json";
  if (!is_there(index).value_or(false)) return {};
  const auto document = read_json_file(index, kMaxBytes, {.dialect = JsonDialect::python});
  if (!document) return forward_error(document);
  const auto map = document->find("weight_map");
  if (map == document->end() || !map->is_object()) return {};  // who reads the index says what is wrong
  std::set<std::string> shards;
  for (const auto& shard : *map) {
    if (shard.is_string()) shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) {
    if (is_plain(shard) && !is_there(snapshot / shard).value_or(true)) return incomplete(snapshot, shard);
  }
  return {};
}

}  // namespace

std::optional<HubName> parse_hub_name(std::string_view word) {
  const std::size_t at = word.find('@');
  const std::string_view repository = word.substr(0, at);
  const std::size_t slash = repository.find('/');
  if (slash == std::string_view::npos || repository.size() > kLongestName) return std::nullopt;
  if (!is_repository_part(repository.substr(0, slash)) || !is_repository_part(repository.substr(slash + 1)))
    return std::nullopt;
  if (at == std::string_view::npos) return HubName{std::string(repository), {}};
  const std::string_view revision = word.substr(at + 1);
  if (!is_revision(revision)) return std::nullopt;
  return HubName{std::string(repository), std::string(revision)};
}

fs::path hub_cache(const Environment& environment) {
  const auto value = [&](const char* variable) {
    const char* set = environment(variable);
    std::string path = set != nullptr ? set : "";
    const char* home = environment("HOME");
    if (path.starts_with("~/") && home != nullptr) path = home + path.substr(1);
    return fs::path(path);
  };
  if (auto cache = value("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const auto home = value("HF_HOME"); !home.empty()) return home / "hub";
  if (const auto caches = value("XDG_CACHE_HOME"); !caches.empty()) return caches / "huggingface" / "hub";
  if (const auto home = value("HOME"); !home.empty()) return home / ".cache" / "huggingface" / "hub";
  return {};
}

fs::path hub_cache() {
  return hub_cache([](const char* variable) -> const char* { return std::getenv(variable); });
}

bool is_hub_entry(const fs::path& folder) {
  return folder.filename().string().starts_with(kEntry);
}

Result<fs::path> find_snapshot(const fs::path& entry, const std::string& revision) {
  auto snapshot = revision.empty() ? usual_snapshot(entry) : revised_snapshot(entry, revision);
  if (!snapshot) return snapshot;
  if (auto whole = check_whole(*snapshot); !whole) return forward_error(whole);
  return snapshot;
}

Result<fs::path> find_snapshot(const fs::path& cache, const HubName& name) {
  std::string folder(kEntry);
  folder += name.repository;
  folder.replace(folder.find('/'), 1, "--");
  const auto entry = cache / folder;
  if (cache.empty() || !is_there(entry / "snapshots").value_or(false)) {
    return fail(ErrorCode::io,
                "{}: there is no such folder or file, and no such model in the Hugging Face cache, {} "
                "(HF_HUB_CACHE and HF_HOME say where it is); nothing is downloaded",
                name.repository, cache.empty() ? "of which there is none" : cache.string());
  }
  return find_snapshot(entry, name.revision);
}

std::vector<CachedModel> list_hub_cache(const fs::path& cache) {
  std::vector<CachedModel> models;
  std::error_code error;
  for (fs::directory_iterator it(cache, error), end; !error && it != end; it.increment(error)) {
    const auto snapshots =
        is_hub_entry(it->path()) ? snapshots_of(it->path()) : Result<std::vector<fs::path>>();
    if (!snapshots) continue;
    const auto usual = usual_snapshot(it->path());
    std::string name = it->path().filename().string().substr(kEntry.size());
    if (const auto dashes = name.find("--"); dashes != std::string::npos) name.replace(dashes, 2, "/");
    for (const fs::path& snapshot : *snapshots) {
      if (models.size() == kMostListed) break;
      const bool is_usual = usual && *usual == snapshot;
      const auto commit = snapshot.filename().string().substr(0, kShownDigits);
      models.push_back({is_usual ? name : name + "@" + commit, snapshot});
    }
  }
  std::sort(models.begin(), models.end(),
            [](const CachedModel& a, const CachedModel& b) { return a.name < b.name; });
  return models;
}

}  // namespace expertscope
