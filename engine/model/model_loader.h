// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "engine/error.h"
#include "engine/model/model.h"
#include "engine/model/model_source.h"
#include "engine/model/quantization.h"
#include "engine/model/tensor_names.h"

namespace expertscope {

/// Opens one model, step by step; Model::open is its only caller.
class ModelLoader {
 public:
  /// `named`: the folder or file.
  ModelLoader(std::filesystem::path named, const OpenProgress& progress, std::stop_token stop)
      : named_(std::move(named)), progress_(progress), stop_(std::move(stop)) {}
  Result<std::shared_ptr<const Model>> load();

 private:
  Status report(const std::string& what, double fraction) const;
  Status load_config();
  Status load_weights();
  Status load_tokenizer();
  void load_chat_template(const Result<ChatTemplateSource>& source);

  std::filesystem::path named_;
  const OpenProgress& progress_;
  std::stop_token stop_;
  std::unique_ptr<ModelSource> source_;
  TensorNames names_;
  Quantization quantization_;
  std::shared_ptr<Model> model_;
};

}  // namespace expertscope
