// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/tensor_source.h"
#include "engine/model/config_reader.h"
#include "engine/model/model.h"
#include "engine/text/tokenizer.h"

namespace expertscope {

/// The source of a chat template; `jinja` is empty where there is none.
struct ChatTemplateSource {
  std::string jinja;
  std::string bos_token;
  std::string eos_token;
};

/// Where a model comes from, and what it is made of. A model is what a source gives: nothing else knows of
/// folders and files. Each function is called at most once, in the order in which they stand here.
class ModelSource {
 public:
  virtual ~ModelSource() = default;

  /// The files that weights are mapped from, as far as one can tell without reading them.
  virtual std::vector<std::filesystem::path> weight_files() const = 0;
  /// Where the config stands, for progress: "config.json".
  virtual std::string config_file() const = 0;
  /// The config and the names of the tensors; fills `identity` but for what the tensors say.
  virtual Result<ParsedConfig> config(ModelIdentity& identity) = 0;
  virtual Result<TensorSource> tensors(const ShardProgress& progress) = 0;
  /// Where the tokenizer stands, for errors and progress.
  virtual std::string tokenizer_file() const = 0;
  /// Null where there is none.
  virtual Result<std::unique_ptr<Tokenizer>> tokenizer() = 0;
  virtual Result<ChatTemplateSource> chat_template() = 0;
};

/// A Hugging Face folder: config.json, generation_config.json, safetensors, tokenizer.json and what lies
/// beside it.
std::unique_ptr<ModelSource> folder_source(const std::filesystem::path& folder, const std::stop_token& stop);

/// A GGUF file, the first of its parts where there are several.
std::unique_ptr<ModelSource> gguf_source(const std::filesystem::path& file, const std::stop_token& stop);

/// "org/repo@commit" for a folder inside a Hugging Face cache (models--org--repo/snapshots/commit), else the
/// last component. Links are not resolved.
std::string model_name(const std::filesystem::path& folder);

}  // namespace expertscope
