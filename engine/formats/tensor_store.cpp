// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/tensor_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/formats/foreign_content.h"
#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::size_t kMaxIndexBytes = 64u << 20;  // the largest models have a tenth of it

/// Says what a folder without safetensors holds instead, so that a person knows what to do.
tl::unexpected<Error> no_weights(const fs::path& folder) {
  std::set<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    files.insert(it->path());
  std::string hint;
  for (const auto& file : files) {
    const auto name = file.filename().string();
    if (name.starts_with("adapter_model."))
      return fail(ErrorCode::unsupported, "{}: {}", folder.string(), adapter_alone({}));
    if (file.extension() == ".safetensors") {
      if (name.find("-of-") != std::string::npos)
        return fail(ErrorCode::io, "{}: {} is a part of the weights, but {} is not there; download it too",
                    folder.string(), name, kIndex);
      return fail(ErrorCode::io, "{}: the weights are looked for in {}, or in what {} lists, and not in {}",
                  folder.string(), kSingle, kIndex, name);
    }
    if (hint.empty()) hint = foreign_name(name);
  }
  return fail(ErrorCode::io, "{}: neither {} nor {} is there{}{}", folder.string(), kSingle, kIndex,
              hint.empty() ? "" : "; ", hint);
}

/// A shard is a plain file name: an index must not make the program read elsewhere.
bool plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

using TensorsByShard = std::map<std::string, std::vector<std::string>>;

Result<TensorsByShard> read_index(const fs::path& index, const std::stop_token& stop) {
  const auto document =
      read_json_file(index, kMaxIndexBytes, {.duplicates = DuplicateKeys::refuse, .stop = stop});
  if (!document) return forward_error(document);
  const auto root = JsonFields::of(*document, index.string());
  if (!root) return forward_error(root);
  const auto map = root->object("weight_map");
  if (!map) return forward_error(map);
  TensorsByShard shards;
  for (const auto& item : map->json().items()) {
    auto shard = map->string(item.key());
    if (!shard) return forward_error(shard);
    while (shard->starts_with("./"))
      shard->erase(0, 2);
    if (!plain_file_name(*shard))
      return map->error(ErrorCode::format, item.key(),
                        fmt::format("{} is not the name of a file in this folder", json_excerpt(*shard)));
    shards[*shard].push_back(item.key());
  }
  if (shards.empty()) return root->error(ErrorCode::format, "weight_map", "no tensor is listed");
  return shards;
}

}  // namespace

void TensorStore::add(const SafetensorsFile& file, const TensorEntry& entry) {
  tensors_.push_back({&entry, file.data(entry), &file});
  total_bytes_ += static_cast<std::int64_t>(entry.bytes);
}

void TensorStore::sort() {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const StoredTensor& a, const StoredTensor& b) { return a.entry->name < b.entry->name; });
}

Status TensorStore::open_single(const fs::path& file, const ShardProgress& progress,
                                const std::stop_token& stop) {
  if (progress) progress(file.filename().string(), 0, 1);
  auto opened = SafetensorsFile::open(file, stop);
  if (!opened) return forward_error(opened);
  files_.push_back(std::make_unique<SafetensorsFile>(std::move(*opened)));
  for (const auto& entry : files_.back()->tensors())
    add(*files_.back(), entry);
  return {};
}

Status TensorStore::open_shard(const std::string& name, const std::vector<std::string>& wanted,
                               const std::stop_token& stop) {
  const auto path = folder_ / name;
  const auto there = is_there(path);
  if (!there) return forward_error(there);
  if (!*there)
    return fail(ErrorCode::io, "{}: this shard is missing; {} says it holds {} and {} more", path.string(),
                kIndex, wanted.front(), wanted.size() - 1);
  auto opened = SafetensorsFile::open(path, stop);
  if (!opened) return forward_error(opened);
  files_.push_back(std::make_unique<SafetensorsFile>(std::move(*opened)));
  const auto& file = *files_.back();
  std::vector<const TensorEntry*> entries;
  entries.reserve(file.tensors().size());
  for (const auto& entry : file.tensors())
    entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const auto& tensor : wanted) {
    const auto it =
        std::lower_bound(entries.begin(), entries.end(), tensor,
                         [](const TensorEntry* entry, const std::string& key) { return entry->name < key; });
    if (it == entries.end() || (*it)->name != tensor)
      return fail(ErrorCode::mismatch, "{}: tensor {} is not in this shard, although {} lists it there",
                  path.string(), tensor, kIndex);
    add(file, **it);
  }
  return {};
}

Status TensorStore::open_shards(const fs::path& index, const ShardProgress& progress,
                                const std::stop_token& stop) {
  const auto shards = read_index(index, stop);
  if (!shards) return forward_error(shards);
  for (const auto& [name, wanted] : *shards) {
    if (stop.stop_requested())
      return fail(ErrorCode::cancelled, "Opening {} was cancelled", folder_.string());
    if (progress) progress(name, files_.size(), shards->size());
    if (auto ok = open_shard(name, wanted, stop); !ok) return ok;
  }
  return {};
}

Result<std::unique_ptr<TensorStore>> TensorStore::open(const fs::path& folder, const ShardProgress& progress,
                                                       const std::stop_token& stop) {
  std::unique_ptr<TensorStore> store(new TensorStore);
  store->folder_ = folder;
  const auto single = is_there(folder / kSingle);
  if (!single) return forward_error(single);
  const auto index = is_there(folder / kIndex);
  if (!index) return forward_error(index);
  if (!*single && !*index) return no_weights(folder);
  const auto opened = *single ? store->open_single(folder / kSingle, progress, stop)
                              : store->open_shards(folder / kIndex, progress, stop);
  if (!opened) return forward_error(opened);
  store->sort();
  return store;
}

const StoredTensor* TensorStore::find(std::string_view name) const {
  const auto it = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const StoredTensor& tensor, std::string_view key) { return tensor.entry->name < key; });
  return it == tensors_.end() || it->entry->name != name ? nullptr : &*it;
}

}  // namespace expertscope
