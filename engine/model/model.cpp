// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/model.h"

#include "engine/model/finite.h"
#include "engine/model/model_loader.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace expertscope {
Model::Model() = default;
Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::open(const std::filesystem::path& named,
                                                 const OpenProgress& progress, std::stop_token stop) {
  return ModelLoader(named, progress, std::move(stop)).load();
}

std::shared_ptr<const Model> Model::from_memory(ModelConfig config, Weights weights,
                                                std::shared_ptr<const void> storage) {
  std::shared_ptr<Model> model(new Model);
  model->config_ = std::move(config);
  model->weights_ = std::move(weights);
  model->storage_ = std::move(storage);
  model->identity_.name = "in memory";
  return model;
}

Result<const Tokenizer*> Model::require_tokenizer() const {
  if (tokenizer_) return tokenizer_.get();
  if (!no_tokenizer_.empty()) return fail(ErrorCode::unsupported, "{}", no_tokenizer_);
  return fail(ErrorCode::unsupported, "{}: the model has no tokenizer", identity_.name);
}

Result<const ChatTemplate*> Model::require_chat_template() const {
  if (chat_template_) return chat_template_.get();
  if (!no_chat_template_.empty()) return fail(ErrorCode::unsupported, "{}", no_chat_template_);
  return fail(ErrorCode::unsupported, "{}: the model has no chat template", identity_.name);
}

Status Model::check_finite_part(int layer, const std::stop_token& stop) const {
  Status ok = check_finite_weights(weights_, layer, stop);
  if (ok || ok.error().code == ErrorCode::cancelled || ok.error().code == ErrorCode::invalid_argument)
    return ok;
  return fail(ok.error().code, "{}: {}", identity_.path.empty() ? identity_.name : identity_.path,
              ok.error().message);
}

Status Model::check_finite(const std::stop_token& stop) const {
  for (int layer = -1; layer < static_cast<int>(weights_.layers.size()); ++layer)
    if (auto ok = check_finite_part(layer, stop); !ok) return ok;
  return {};
}

}  // namespace expertscope
