// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/model_loader.h"

#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"
#include "engine/model/model_folder.h"
#include "engine/model/tensor_census.h"
#include "engine/text/chat_template.h"
#include "engine/text/dataset.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_config.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = 16u << 20;

/// What keeps the views in Weights alive.
struct Storage {
  std::unique_ptr<TensorStore> store;
  AlignedCopies copies;
};

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

}  // namespace

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

Status ModelLoader::report(const std::string& what, double fraction) const {
  if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "Opening {} was cancelled", folder_.string());
  if (progress_) progress_(what, fraction);
  return {};
}

Status ModelLoader::load_config() {
  const auto file = folder_ / "config.json";
  const auto text = read_file(file, kMaxConfigBytes);
  if (!text) return forward_error(text);
  auto parsed = parse_config(*text, file.string());
  if (!parsed) return forward_error(parsed);
  parsed_ = std::move(*parsed);
  model_->identity_.path = folder_.string();
  model_->identity_.name = model_name(folder_);
  model_->identity_.config_sha256 = sha256_hex(*text);

  const auto generation = folder_ / "generation_config.json";
  if (present(generation)) {
    const auto settings = read_file(generation, kMaxConfigBytes);
    if (settings) apply_generation_config(*settings, generation.string(), parsed_);
    if (!settings)
      parsed_.warnings.push_back(fmt::format("{}; its settings are not used.", settings.error().message));
  }
  if (present(folder_ / "adapter_config.json"))
    parsed_.warnings.push_back(fmt::format("{}: the LoRA adapter beside the model is not applied.",
                                           (folder_ / "adapter_config.json").string()));
  model_->config_ = parsed_.config;
  model_->warnings_ = std::move(parsed_.warnings);
  return {};
}

Status ModelLoader::load_weights() {
  const auto shard_progress = [&](const std::string& file, std::size_t done, std::size_t total) {
    if (progress_) progress_(file, 0.05 + 0.35 * static_cast<double>(done) / static_cast<double>(total));
  };
  auto store = TensorStore::open(folder_, shard_progress, stop_);
  if (!store) return forward_error(store);
  if (auto ok = refuse_quantised_tensors(**store); !ok) return ok;
  auto& config = model_->config_;
  auto& weights = model_->weights_;
  WeightBinder binder(**store, config, parsed_.family->tensors);
  if (auto ok = binder.bind_ends(weights, stop_); !ok) return ok;
  if (config.tie_word_embeddings && weights.lm_head.data != weights.embed_tokens.data) {
    config.tie_word_embeddings = false;
    model_->warnings_.push_back(
        fmt::format("{}: tie_word_embeddings is true, but {} and {} differ: both are used.",
                    (folder_ / "config.json").string(), parsed_.family->tensors.lm_head,
                    parsed_.family->tensors.embed_tokens));
  }
  for (int i = 0; i < config.num_layers(); ++i) {
    auto ok = report(fmt::format("layer {} of {}", i + 1, config.num_layers()),
                     0.4 + 0.3 * i / config.num_layers());
    if (!ok) return ok;
    if (auto bound = binder.bind_layer(i, weights.layers.emplace_back()); !bound) return bound;
  }
  const auto unused = account_for_unused(**store, binder.used(), config, parsed_.family->tensors);
  if (!unused) return forward_error(unused);
  if (!unused->empty()) model_->warnings_.push_back(*unused);
  model_->identity_.tensor_count = (*store)->tensor_count();
  model_->identity_.total_bytes = (*store)->total_bytes();
  if (binder.copied_bytes() > 0)
    model_->warnings_.push_back(
        fmt::format("{} bytes of weights are not aligned in their file and were copied into memory.",
                    binder.copied_bytes()));
  auto storage = std::make_shared<Storage>();
  storage->store = std::move(*store);
  storage->copies = binder.take_copies();
  model_->storage_ = std::move(storage);
  return {};
}

Status ModelLoader::load_tokenizer() {
  const auto file = folder_ / "tokenizer.json";
  if (!present(file)) {
    model_->no_tokenizer_ =
        fmt::format("{} has no tokenizer.json: text cannot be encoded or decoded", folder_.string());
    model_->warnings_.push_back(model_->no_tokenizer_ + ".");
    return {};
  }
  auto config = TokenizerConfig::read(folder_, stop_);
  const auto source = chat_template_source(config);
  auto tokenizer = Tokenizer::open(file, std::move(config), stop_);
  if (auto ok = report("chat template", 0.9); !ok) return ok;
  if (!tokenizer && tokenizer.error().code == ErrorCode::out_of_memory) return forward_error(tokenizer);
  if (!tokenizer) {  // ids run without it
    model_->no_tokenizer_ = fmt::format("The tokenizer is not usable: {}", tokenizer.error().message);
    model_->warnings_.push_back(model_->no_tokenizer_);
    return {};
  }
  if ((*tokenizer)->vocab_size() > model_->config_.vocab_size)
    model_->warnings_.push_back(fmt::format("{} has ids up to {}, but the model's vocabulary is {}.",
                                            file.string(), (*tokenizer)->vocab_size() - 1,
                                            model_->config_.vocab_size));
  const auto& warnings = (*tokenizer)->warnings();
  model_->warnings_.insert(model_->warnings_.end(), warnings.begin(), warnings.end());
  model_->text_warnings_ = model_->warnings_.size() - model_->result_warnings_;
  model_->tokenizer_ = std::move(*tokenizer);
  load_chat_template(source);
  return {};
}

Result<ChatTemplateSource> ModelLoader::chat_template_source(const TokenizerConfig& config) const {
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

void ModelLoader::load_chat_template(const Result<ChatTemplateSource>& source) {
  const auto none = [&](const std::string& why) {
    model_->no_chat_template_ = why;
    model_->warnings_.push_back(why);
  };
  if (!source) return none(fmt::format("The chat template is not usable: {}", source.error().message));
  if (source->jinja.empty()) return none("The model has no chat template: prompts are used as they are.");
  auto recognised = ChatTemplate::recognise(source->jinja, source->bos_token, source->eos_token);
  if (!recognised) return none(recognised.error().message);
  model_->chat_template_ = std::move(*recognised);
}

Result<std::shared_ptr<const Model>> ModelLoader::load() {
  model_.reset(new Model);
  auto found = find_model_folder(folder_);
  if (!found) return forward_error(found);
  folder_ = std::move(*found);
  model_->watch_ = WeightWatch(folder_);  // before anything is read
  Status ok = report("config.json", 0.0);
  if (ok) ok = load_config();
  if (ok) ok = report("weights", 0.05);
  if (ok) ok = load_weights();
  model_->result_warnings_ = model_->warnings_.size();
  if (ok) ok = report("tokenizer.json", 0.7);
  if (ok) ok = load_tokenizer();
  if (ok) ok = report("ready", 1.0);
  if (!ok) return forward_error(ok);
  return std::shared_ptr<const Model>(std::move(model_));
}

}  // namespace expertscope
