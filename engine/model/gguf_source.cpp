// SPDX-License-Identifier: GPL-3.0-or-later
#include <utility>

#include "engine/formats/gguf.h"
#include "engine/model/model_source.h"
#include "engine/text/dataset.h"
#include "engine/text/gguf_tokenizer.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

class GgufSource : public ModelSource {
 public:
  GgufSource(fs::path file, std::stop_token stop) : file_(std::move(file)), stop_(std::move(stop)) {}

  std::vector<fs::path> weight_files() const override { return gguf_parts(file_); }
  std::string config_file() const override { return file_.filename().string(); }
  Result<ParsedConfig> config(ModelIdentity& identity) override;
  Result<TensorSource> tensors(const ShardProgress& progress) override;
  std::string tokenizer_file() const override { return file_.string(); }
  Result<std::unique_ptr<Tokenizer>> tokenizer() override;
  Result<ChatTemplateSource> chat_template() override;

 private:
  fs::path file_;
  std::stop_token stop_;
  GgufModel model_;
};

Result<ParsedConfig> GgufSource::config(ModelIdentity& identity) {
  auto opened = open_gguf(file_, {}, stop_);
  if (!opened) return forward_error(opened);
  model_ = std::move(*opened);
  identity.path = file_.string();
  identity.name = model_name(file_);
  identity.config_sha256 = sha256_hex(model_.header);
  return parse_gguf_config(model_.metadata, model_.source.tensors, file_.string());
}

Result<TensorSource> GgufSource::tensors(const ShardProgress& progress) {
  if (progress) progress(file_.filename().string(), 0, 1);
  return std::move(model_.source);
}

Result<std::unique_ptr<Tokenizer>> GgufSource::tokenizer() {
  const auto json = gguf_tokenizer(model_.metadata, file_.string(), stop_);
  if (!json) return forward_error(json);
  return Tokenizer::parse(*json, file_.string(), stop_);
}

Result<ChatTemplateSource> GgufSource::chat_template() {
  const auto fields = JsonFields::of(model_.metadata, file_.string());
  if (!fields) return forward_error(fields);
  auto jinja = fields->string_or("tokenizer.chat_template", "");
  if (!jinja) return forward_error(jinja);
  return ChatTemplateSource{std::move(*jinja), gguf_token(model_.metadata, "tokenizer.ggml.bos_token_id"),
                            gguf_token(model_.metadata, "tokenizer.ggml.eos_token_id")};
}

}  // namespace

std::unique_ptr<ModelSource> gguf_source(const fs::path& file, const std::stop_token& stop) {
  return std::make_unique<GgufSource>(file, stop);
}

}  // namespace expertscope
