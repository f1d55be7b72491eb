// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/model_folder.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "engine/formats/foreign_content.h"
#include "engine/formats/gguf.h"
#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"
#include "engine/model/hub_cache.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";

bool holds_config(const fs::path& folder) {
  return is_there(folder / kConfig).value_or(false);
}

/// What a folder holds, sorted.
Result<std::set<fs::path>> entries_of(const fs::path& folder) {
  std::set<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    entries.insert(it->path());
  if (error) return fail(ErrorCode::io, "{}: cannot be listed: {}", folder.string(), error.message());
  return entries;
}

tl::unexpected<Error> refuse_file(const fs::path& file) {
  const auto what = foreign_file(file);
  return fail(ErrorCode::invalid_argument,
              "{}: a model is a folder with config.json and safetensors files, or a GGUF file; {}",
              file.string(), what.empty() ? "this is a file" : what);
}

/// The model that an adapter changes; empty where its file does not say.
std::string base_model(const fs::path& adapter_config) {
  constexpr std::size_t kMaxBytes = 1u << 20;
  const auto document = read_json_file(adapter_config, kMaxBytes, {.dialect = JsonDialect::python});
  if (!document) return {};
  const auto fields = JsonFields::of(*document, adapter_config.string());
  const auto name = fields ? fields->string_or("base_model_name_or_path", "") : std::string();
  return name && !name->empty() ? json_excerpt(*name) : std::string();
}

/// A folder without config.json: what it is, as far as one can tell.
tl::unexpected<Error> explain(const fs::path& folder) {
  const auto entries = entries_of(folder);
  if (!entries) return forward_error(entries);
  const auto refuse = [&](const std::string& what) {
    return fail(ErrorCode::io, "{}: no config.json; {}", folder.string(), what);
  };
  std::string foreign;
  for (const auto& entry : *entries) {
    const auto name = entry.filename().string();
    if (name == "adapter_config.json") return refuse(adapter_alone(base_model(entry)));
    if (name == "model_index.json")
      return refuse("this is a pipeline of diffusers, which makes images; a language model is needed");
    if (is_hub_entry(entry))
      return refuse(fmt::format("this is a Hugging Face cache: open one of the models in it, such as {}",
                                entry.string()));
    if (holds_config(entry)) return refuse(fmt::format("the one in {} may be meant", entry.string()));
    if (foreign.empty()) foreign = foreign_name(name);
  }
  return refuse(foreign.empty() ? "is this a Hugging Face model folder?" : foreign);
}

Result<fs::path> model_in(Result<fs::path> snapshot) {
  return !snapshot || holds_config(*snapshot) ? snapshot : explain(*snapshot);
}

}  // namespace

Result<fs::path> find_model(const fs::path& named) {
  std::error_code error;
  const auto status = fs::status(named, error);
  if (status.type() == fs::file_type::not_found) {
    if (const auto name = parse_hub_name(named.string())) return model_in(find_snapshot(hub_cache(), *name));
    return fail(ErrorCode::io, "{}: there is no such folder or file", named.string());
  }
  if (error) return fail(ErrorCode::io, "{}: cannot be opened: {}", named.string(), error.message());
  if (fs::is_regular_file(status) && is_gguf(named)) return named;
  if (!fs::is_directory(status)) return refuse_file(named);
  const auto config = is_there(named / kConfig);
  if (!config) return forward_error(config);
  if (*config) return named;
  auto entry = fs::absolute(named, error).lexically_normal();
  if (!entry.has_filename()) entry = entry.parent_path();
  if (entry.filename() == "snapshots") entry = entry.parent_path();
  if (is_hub_entry(entry) && fs::is_directory(entry / "snapshots", error))
    return model_in(find_snapshot(entry));
  return explain(named);
}

}  // namespace expertscope
