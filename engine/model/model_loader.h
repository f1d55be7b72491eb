// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "engine/error.h"
#include "engine/formats/tensor_store.h"
#include "engine/model/config_reader.h"
#include "engine/model/model.h"
#include "engine/model/weight_binder.h"

namespace expertscope {

struct TokenizerConfig;

/// "org/repo@commit" for a folder inside a Hugging Face cache (models--org--repo/snapshots/commit), else the
/// last component. Links are not resolved.
std::string model_name(const std::filesystem::path& folder);

/// The chat template of a folder; `jinja` is empty where there is none.
struct ChatTemplateSource {
  std::string jinja;
  std::string bos_token;
  std::string eos_token;
};

/// Opens one model folder, step by step; Model::open is its only caller.
class ModelLoader {
 public:
  ModelLoader(std::filesystem::path folder, const OpenProgress& progress, std::stop_token stop)
      : folder_(std::move(folder)), progress_(progress), stop_(std::move(stop)) {}
  Result<std::shared_ptr<const Model>> load();

 private:
  Status report(const std::string& what, double fraction) const;
  Status load_config();
  Status load_weights();
  Status load_tokenizer();
  void load_chat_template(const Result<ChatTemplateSource>& source);
  Result<ChatTemplateSource> chat_template_source(const TokenizerConfig& config) const;

  std::filesystem::path folder_;
  const OpenProgress& progress_;
  std::stop_token stop_;
  ParsedConfig parsed_;
  std::shared_ptr<Model> model_;
};

}  // namespace expertscope
