// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/model_loader.h"

#include "engine/formats/gguf.h"
#include "engine/formats/tensor_store.h"
#include "engine/model/model_folder.h"
#include "engine/model/tensor_census.h"
#include "engine/model/weight_binder.h"
#include "engine/text/chat_template.h"

namespace expertscope {
namespace {

/// What keeps the views in Weights alive.
struct Storage {
  TensorStore store;
  AlignedCopies copies;
};

}  // namespace

Status ModelLoader::report(const std::string& what, double fraction) const {
  if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "Opening {} was cancelled", named_.string());
  if (progress_) progress_(what, fraction);
  return {};
}

Status ModelLoader::load_config() {
  auto parsed = source_->config(model_->identity_);
  if (!parsed) return forward_error(parsed);
  names_ = parsed->tensors;
  quantization_ = parsed->quantization;
  model_->config_ = std::move(parsed->config);
  model_->warnings_ = std::move(parsed->warnings);
  return {};
}

Status ModelLoader::load_weights() {
  const auto shard_progress = [&](const std::string& file, std::size_t done, std::size_t total) {
    if (progress_) progress_(file, 0.05 + 0.35 * static_cast<double>(done) / static_cast<double>(total));
  };
  auto source = source_->tensors(shard_progress);
  if (!source) return forward_error(source);
  auto storage = std::make_shared<Storage>(Storage{TensorStore(std::move(*source)), {}});
  const TensorStore& store = storage->store;
  if (auto ok = refuse_quantised_tensors(store, quantization_); !ok) return ok;
  auto& config = model_->config_;
  auto& weights = model_->weights_;
  WeightBinder binder(store, config, names_, quantization_);
  if (auto ok = binder.bind_ends(weights, stop_); !ok) return ok;
  if (config.tie_word_embeddings && weights.lm_head.data != weights.embed_tokens.data) {
    config.tie_word_embeddings = false;
    model_->warnings_.push_back(
        fmt::format("{}: tie_word_embeddings is true, but {} and {} differ: both are used.",
                    (store.place() / store.described_by()).string(), names_.lm_head, names_.embed_tokens));
  }
  for (int i = 0; i < config.num_layers(); ++i) {
    auto ok = report(fmt::format("layer {} of {}", i + 1, config.num_layers()),
                     0.4 + 0.3 * i / config.num_layers());
    if (!ok) return ok;
    if (auto bound = binder.bind_layer(i, weights.layers.emplace_back()); !bound) return bound;
  }
  const auto unused = account_for_unused(store, binder.used(), config, names_);
  if (!unused) return forward_error(unused);
  if (!unused->empty()) model_->warnings_.push_back(*unused);
  model_->identity_.tensor_count = store.tensor_count();
  model_->identity_.total_bytes = store.total_bytes();
  if (binder.copied_bytes() > 0)
    model_->warnings_.push_back(
        fmt::format("{} bytes of weights are not aligned in their file and were copied into memory.",
                    binder.copied_bytes()));
  if (binder.turned_bytes() > 0)
    model_->warnings_.push_back(
        fmt::format("Weights lie transposed in their files: {} bytes of them were turned in memory.",
                    binder.turned_bytes()));
  storage->copies = binder.take_copies();
  model_->storage_ = std::move(storage);
  return {};
}

Status ModelLoader::load_tokenizer() {
  auto tokenizer = source_->tokenizer();
  if (tokenizer && *tokenizer == nullptr) {
    model_->no_tokenizer_ = fmt::format(
        "{} has no tokenizer.json, tokenizer.model or tiktoken.model: text cannot be encoded or decoded",
        model_->identity_.path);
    model_->warnings_.push_back(model_->no_tokenizer_ + ".");
    return {};
  }
  if (auto ok = report("chat template", 0.9); !ok) return ok;
  if (!tokenizer && tokenizer.error().code == ErrorCode::out_of_memory) return forward_error(tokenizer);
  if (!tokenizer) {  // ids run without it
    model_->no_tokenizer_ = fmt::format("The tokenizer is not usable: {}", tokenizer.error().message);
    model_->warnings_.push_back(model_->no_tokenizer_);
    return {};
  }
  if ((*tokenizer)->vocab_size() > model_->config_.vocab_size)
    model_->warnings_.push_back(fmt::format("{} has ids up to {}, but the model's vocabulary is {}.",
                                            source_->tokenizer_file(), (*tokenizer)->vocab_size() - 1,
                                            model_->config_.vocab_size));
  const auto& warnings = (*tokenizer)->warnings();
  model_->warnings_.insert(model_->warnings_.end(), warnings.begin(), warnings.end());
  model_->text_warnings_ = model_->warnings_.size() - model_->result_warnings_;
  model_->tokenizer_ = std::move(*tokenizer);
  load_chat_template(source_->chat_template());
  return {};
}

void ModelLoader::load_chat_template(const Result<ChatTemplateSource>& source) {
  const auto none = [&](const std::string& why) {
    model_->no_chat_template_ = why;
    model_->warnings_.push_back(why);
  };
  if (!source) return none(fmt::format("The chat template is not usable: {}", source.error().message));
  if (source->jinja.empty()) return none("The model has no chat template: prompts are used as they are.");
  auto opened = ChatTemplate::open(source->jinja, source->bos_token, source->eos_token);
  if (!opened) return none(opened.error().message);
  model_->chat_template_ = std::move(*opened);
}

Result<std::shared_ptr<const Model>> ModelLoader::load() {
  model_.reset(new Model);
  const auto found = find_model(named_);
  if (!found) return forward_error(found);
  source_ = is_gguf(*found) ? gguf_source(*found, stop_) : folder_source(*found, stop_);
  model_->watch_ = WeightWatch(source_->weight_files());  // before anything is read
  Status ok = report(source_->config_file(), 0.0);
  if (ok) ok = load_config();
  if (ok) ok = report("weights", 0.05);
  if (ok) ok = load_weights();
  model_->result_warnings_ = model_->warnings_.size();
  if (ok) ok = report(std::filesystem::path(source_->tokenizer_file()).filename().string(), 0.7);
  if (ok) ok = load_tokenizer();
  if (ok) ok = report("ready", 1.0);
  if (!ok) return forward_error(ok);
  return std::shared_ptr<const Model>(std::move(model_));
}

}  // namespace expertscope
