// SPDX-License-Identifier: GPL-3.0-or-later
#include <utility>

#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"
#include "engine/formats/safetensors_folder.h"
#include "engine/model/model_source.h"
#include "engine/text/dataset.h"
#include "engine/text/tokenizer_config.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = 16u << 20;

bool present(const fs::path& file) {
  return is_there(file).value_or(true);  // where it cannot be known, reading says why
}

/// tokenizer_config.json has one template as a string, or several as {"name", "template"}.
Result<std::string> template_of(const JsonFields& fields) {
  constexpr const char* kKey = "chat_template";
  if (!fields.has(kKey)) return std::string{};
  if (!fields.json()[kKey].is_array()) return fields.string(kKey);
  for (const Json& item : fields.json()[kKey]) {
    const auto entry = JsonFields::of(item, fields.file(), kKey);
    if (!entry) return forward_error(entry);
    const auto name = entry->string_or("name", "");
    if (name && *name == "default") return entry->string("template");
  }
  return fields.error(ErrorCode::unsupported, kKey, "a list without an entry named \"default\"");
}

/// A special token is a string, or an object with its content.
std::string token_content(const JsonFields& fields, const char* key) {
  if (!fields.has(key)) return {};
  if (fields.json()[key].is_string()) return fields.json()[key].get<std::string>();
  const auto object = fields.object(key);
  return object ? object->string_or("content", "").value_or("") : std::string{};
}

class FolderSource : public ModelSource {
 public:
  FolderSource(fs::path folder, std::stop_token stop) : folder_(std::move(folder)), stop_(std::move(stop)) {}

  std::vector<fs::path> weight_files() const override { return safetensors_in(folder_); }
  std::string config_file() const override { return "config.json"; }
  Result<ParsedConfig> config(ModelIdentity& identity) override;
  Result<TensorSource> tensors(const ShardProgress& progress) override {
    return open_safetensors_folder(folder_, progress, stop_);
  }
  std::string tokenizer_file() const override { return find_tokenizer().string(); }
  Result<std::unique_ptr<Tokenizer>> tokenizer() override;
  Result<ChatTemplateSource> chat_template() override { return std::move(chat_template_); }

 private:
  Result<ChatTemplateSource> read_chat_template(const TokenizerConfig& config) const;
  fs::path find_tokenizer() const;

  fs::path folder_;
  std::stop_token stop_;
  Result<ChatTemplateSource> chat_template_;
};

Result<ParsedConfig> FolderSource::config(ModelIdentity& identity) {
  const auto file = folder_ / "config.json";
  const auto text = read_file(file, kMaxConfigBytes);
  if (!text) return forward_error(text);
  auto parsed = parse_config(*text, file.string());
  if (!parsed) return forward_error(parsed);
  identity.path = folder_.string();
  identity.name = model_name(folder_);
  identity.config_sha256 = sha256_hex(*text);

  const auto generation = folder_ / "generation_config.json";
  if (present(generation)) {
    const auto settings = read_file(generation, kMaxConfigBytes);
    if (settings) apply_generation_config(*settings, generation.string(), *parsed);
    if (!settings)
      parsed->warnings.push_back(fmt::format("{}; its settings are not used.", settings.error().message));
  }
  if (present(folder_ / "adapter_config.json"))
    parsed->warnings.push_back(fmt::format("{}: the LoRA adapter beside the model is not applied.",
                                           (folder_ / "adapter_config.json").string()));
  return parsed;
}

/// The first of the names that a tokenizer has; tokenizer.json where there is none.
fs::path FolderSource::find_tokenizer() const {
  for (const char* name :
       {"tokenizer.json", "tokenizer.model", "tiktoken.model", "qwen.tiktoken", "hy.tiktoken"})
    if (present(folder_ / name)) return folder_ / name;
  return folder_ / "tokenizer.json";
}

Result<std::unique_ptr<Tokenizer>> FolderSource::tokenizer() {
  const auto file = find_tokenizer();
  if (!present(file)) return nullptr;
  const auto config = TokenizerConfig::read(folder_, stop_);
  chat_template_ = read_chat_template(config);
  return Tokenizer::open(file, config, stop_);
}

Result<ChatTemplateSource> FolderSource::read_chat_template(const TokenizerConfig& config) const {
  if (!config.document) return forward_error(config.document);
  const auto fields = JsonFields::of(*config.document, config.file);
  if (!fields) return forward_error(fields);
  auto in_config = template_of(*fields);
  if (!in_config) return forward_error(in_config);
  ChatTemplateSource source{std::move(*in_config), token_content(*fields, "bos_token"),
                            token_content(*fields, "eos_token")};
  const auto file = folder_ / "chat_template.jinja";
  if (!present(file)) return source;
  auto jinja = read_file(file, kMaxConfigBytes);
  if (!jinja) return forward_error(jinja);
  source.jinja = std::move(*jinja);
  return source;
}

}  // namespace

std::unique_ptr<ModelSource> folder_source(const fs::path& folder, const std::stop_token& stop) {
  return std::make_unique<FolderSource>(folder, stop);
}

std::string model_name(const fs::path& folder) {
  std::error_code error;
  auto path = fs::absolute(folder, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  auto leaf = path.filename().string();
  const auto snapshots = path.parent_path();
  const auto cached = snapshots.parent_path().filename().string();
  constexpr std::string_view kPrefix = "models--";
  if (snapshots.filename() != "snapshots" || !cached.starts_with(kPrefix)) return leaf;
  const auto repository = std::string_view(cached).substr(kPrefix.size());
  const auto dashes = repository.find("--");
  if (dashes == std::string_view::npos) return fmt::format("{}@{}", repository, leaf);
  return fmt::format("{}/{}@{}", repository.substr(0, dashes), repository.substr(dashes + 2), leaf);
}

}  // namespace expertscope
