// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/safetensors_folder.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/formats/foreign_content.h"
#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"
#include "engine/formats/safetensors.h"

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

/// Opens the files of a folder one after the other and collects their tensors.
class FolderReader {
 public:
  FolderReader(const fs::path& folder, const ShardProgress& progress, const std::stop_token& stop)
      : progress_(progress), stop_(stop) {
    source_.place = folder;
  }
  Status read_single(const fs::path& file);
  Status read_shards(const fs::path& index);
  TensorSource take() { return std::move(source_); }

 private:
  Status read_shard(const std::string& name, const std::vector<std::string>& wanted);
  Result<std::shared_ptr<const SafetensorsFile>> open(const fs::path& path);
  void add(const SafetensorsFile& file, const TensorEntry& entry);

  const ShardProgress& progress_;
  const std::stop_token& stop_;
  TensorSource source_;
};

Result<std::shared_ptr<const SafetensorsFile>> FolderReader::open(const fs::path& path) {
  auto opened = SafetensorsFile::open(path, stop_);
  if (!opened) return forward_error(opened);
  auto file = std::make_shared<const SafetensorsFile>(std::move(*opened));
  source_.files.push_back(file);
  return file;
}

void FolderReader::add(const SafetensorsFile& file, const TensorEntry& entry) {
  source_.tensors.push_back(
      {entry.name, entry.dtype, entry.shape, file.data(entry), entry.bytes, &file.path()});
}

Status FolderReader::read_single(const fs::path& file) {
  if (progress_) progress_(file.filename().string(), 0, 1);
  const auto opened = open(file);
  if (!opened) return forward_error(opened);
  for (const auto& entry : (*opened)->tensors())
    add(**opened, entry);
  return {};
}

Status FolderReader::read_shard(const std::string& name, const std::vector<std::string>& wanted) {
  const auto path = source_.place / name;
  const auto there = is_there(path);
  if (!there) return forward_error(there);
  if (!*there)
    return fail(ErrorCode::io, "{}: this shard is missing; {} says it holds {} and {} more", path.string(),
                kIndex, wanted.front(), wanted.size() - 1);
  const auto file = open(path);
  if (!file) return forward_error(file);
  std::vector<const TensorEntry*> entries;
  entries.reserve((*file)->tensors().size());
  for (const auto& entry : (*file)->tensors())
    entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const auto& tensor : wanted) {
    const auto it =
        std::lower_bound(entries.begin(), entries.end(), tensor,
                         [](const TensorEntry* entry, const std::string& key) { return entry->name < key; });
    if (it == entries.end() || (*it)->name != tensor)
      return fail(ErrorCode::mismatch, "{}: tensor {} is not in this shard, although {} lists it there",
                  path.string(), tensor, kIndex);
    add(**file, **it);
  }
  return {};
}

Status FolderReader::read_shards(const fs::path& index) {
  const auto shards = read_index(index, stop_);
  if (!shards) return forward_error(shards);
  for (const auto& [name, wanted] : *shards) {
    if (stop_.stop_requested())
      return fail(ErrorCode::cancelled, "Opening {} was cancelled", source_.place.string());
    if (progress_) progress_(name, source_.files.size(), shards->size());
    if (auto ok = read_shard(name, wanted); !ok) return ok;
  }
  return {};
}

}  // namespace

Result<TensorSource> open_safetensors_folder(const fs::path& folder, const ShardProgress& progress,
                                             const std::stop_token& stop) {
  const auto single = is_there(folder / kSingle);
  if (!single) return forward_error(single);
  const auto index = is_there(folder / kIndex);
  if (!index) return forward_error(index);
  if (!*single && !*index) return no_weights(folder);
  FolderReader reader(folder, progress, stop);
  const auto read = *single ? reader.read_single(folder / kSingle) : reader.read_shards(folder / kIndex);
  if (!read) return forward_error(read);
  return reader.take();
}

std::vector<fs::path> safetensors_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".safetensors") files.push_back(it->path());
  return files;
}

}  // namespace expertscope
