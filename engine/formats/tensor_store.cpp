// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/tensor_store.h"

#include <map>

#include "engine/formats/json_fields.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::size_t kMaxIndexBytes = 256u << 20;

bool present(const fs::path& file) {
  std::error_code ignored;
  return fs::symlink_status(file, ignored).type() != fs::file_type::not_found &&
         fs::symlink_status(file, ignored).type() != fs::file_type::none;
}

/// Says what a folder without safetensors holds instead, so that a person knows what to do.
tl::unexpected<Error> no_weights(const fs::path& folder) {
  std::string hint;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto name = it->path().filename().string();
    if (it->path().extension() == ".bin" && name.starts_with("pytorch_model"))
      hint = fmt::format("; {} is a pickle, convert the model to safetensors", name);
    if (it->path().extension() == ".gguf") hint = fmt::format("; GGUF ({}) is not read yet", name);
  }
  return fail(ErrorCode::io, "{}: neither {} nor {} is there{}", folder.string(), kSingle, kIndex, hint);
}

/// A shard is a plain file name: an index must not make the program read elsewhere.
bool plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

using TensorsByShard = std::map<std::string, std::vector<std::string>>;

Result<TensorsByShard> read_index(const fs::path& index) {
  const auto document = read_json_file(index, kMaxIndexBytes, DuplicateKeys::refuse);
  if (!document) return forward_error(document);
  const auto root = JsonFields::of(*document, index.string());
  if (!root) return forward_error(root);
  const auto map = root->object("weight_map");
  if (!map) return forward_error(map);
  TensorsByShard shards;
  for (const auto& item : map->json().items()) {
    const auto shard = map->string(item.key());
    if (!shard) return forward_error(shard);
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
  tensors_.emplace(entry.name, StoredTensor{&entry, file.data(entry), &file});
  total_bytes_ += static_cast<std::int64_t>(entry.bytes);
}

Status TensorStore::open_single(const fs::path& file, const ShardProgress& progress) {
  if (progress) progress(file.filename().string(), 0, 1);
  auto opened = SafetensorsFile::open(file);
  if (!opened) return forward_error(opened);
  files_.push_back(std::make_unique<SafetensorsFile>(std::move(*opened)));
  for (const auto& entry : files_.back()->tensors())
    add(*files_.back(), entry);
  return {};
}

Status TensorStore::open_shards(const fs::path& index, const ShardProgress& progress,
                                const std::stop_token& stop) {
  const auto shards = read_index(index);
  if (!shards) return forward_error(shards);
  for (const auto& [name, wanted] : *shards) {
    if (stop.stop_requested())
      return fail(ErrorCode::cancelled, "Opening {} was cancelled", folder_.string());
    if (progress) progress(name, files_.size(), shards->size());
    const auto path = folder_ / name;
    if (!present(path))
      return fail(ErrorCode::io, "{}: this shard is missing; {} says it holds {} and {} more", path.string(),
                  kIndex, wanted.front(), wanted.size() - 1);
    auto opened = SafetensorsFile::open(path);
    if (!opened) return forward_error(opened);
    files_.push_back(std::make_unique<SafetensorsFile>(std::move(*opened)));
    const auto& file = *files_.back();
    std::unordered_map<std::string_view, const TensorEntry*> there;
    for (const auto& entry : file.tensors())
      there.emplace(entry.name, &entry);
    for (const auto& tensor : wanted) {
      const auto it = there.find(tensor);
      if (it == there.end())
        return fail(ErrorCode::mismatch, "{}: tensor {} is not in this shard, although {} lists it there",
                    path.string(), tensor, kIndex);
      add(file, *it->second);
    }
  }
  return {};
}

Result<std::unique_ptr<TensorStore>> TensorStore::open(const fs::path& folder, const ShardProgress& progress,
                                                       const std::stop_token& stop) {
  std::unique_ptr<TensorStore> store(new TensorStore);
  store->folder_ = folder;
  Status opened;
  if (present(folder / kSingle)) {
    opened = store->open_single(folder / kSingle, progress);
  } else if (present(folder / kIndex)) {
    opened = store->open_shards(folder / kIndex, progress, stop);
  } else {
    return no_weights(folder);
  }
  if (!opened) return forward_error(opened);
  return store;
}

const StoredTensor* TensorStore::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

}  // namespace expertscope
