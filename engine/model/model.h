// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/weight_watch.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"

namespace expertscope {

class Tokenizer;
class ChatTemplate;

/// What makes two runs comparable: the same files gave the same identity.
struct ModelIdentity {
  std::string path;           ///< folder or file as the person named it
  std::string name;           ///< last component of it (org/repo@commit inside a HF cache)
  std::string config_sha256;  ///< hex digest of config.json, or of a GGUF file's header
  std::int64_t tensor_count = 0;
  std::int64_t total_bytes = 0;  ///< bytes of tensor data in all shards
};

/// Told while a model opens: what is being read, and how far. Return value ignored; cancel by stop_token.
using OpenProgress = std::function<void(const std::string& what, double fraction)>;

/// An opened model: configuration, mapped weights, tokenizer. Immutable and shared between threads.
class Model {
 public:
  /// Opens a Hugging Face folder or a GGUF file without reading weights: files are mapped, every tensor's
  /// shape, type and offset checked against the config. Errors name the file, the tensor and both shapes.
  static Result<std::shared_ptr<const Model>> open(const std::filesystem::path& named,
                                                   const OpenProgress& progress = {},
                                                   std::stop_token stop = {});
  /// A model made in memory (benchmarks, tests): `storage` keeps what the weights point into alive.
  static std::shared_ptr<const Model> from_memory(ModelConfig config, Weights weights,
                                                  std::shared_ptr<const void> storage);
  ~Model();

  const ModelConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  const ModelIdentity& identity() const { return identity_; }
  /// Null when there is none that is supported (runs from ids still work).
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }
  /// The tokenizer, or why there is none: the file and the part of it that is not supported.
  Result<const Tokenizer*> require_tokenizer() const;
  /// What a person should know of this model: what is ignored, missing or read otherwise than it is written;
  /// empty when all is well. First what concerns the results of any run, then what concerns text.
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// Those of them that concern the results of any run.
  std::span<const std::string> result_warnings() const { return {warnings_.data(), result_warnings_}; }
  /// A sentence for the person when somebody wrote into the weight files since the model began to open: the
  /// weights are mapped, so numbers may be of old and new ones. Empty: nobody did.
  std::string rewritten_weights() const { return watch_.text(); }
  /// Those of them that concern the ids of a text.
  std::span<const std::string> text_warnings() const {
    return std::span(warnings_).subspan(result_warnings_, text_warnings_);
  }
  /// Null when the model has no chat template this program understands.
  const ChatTemplate* chat_template() const { return chat_template_.get(); }
  /// The chat template, or why there is none.
  Result<const ChatTemplate*> require_chat_template() const;

  /// Scans all weights for NaN and Inf; names the first such tensor. Reads everything: minutes on a large
  /// model.
  Status check_finite(const std::stop_token& stop = {}) const;
  /// The same for one decoder layer; -1: embedding, final norm and lm_head.
  Status check_finite_part(int layer, const std::stop_token& stop = {}) const;

 private:
  friend class ModelLoader;
  Model();

  ModelConfig config_;
  Weights weights_;
  ModelIdentity identity_;
  WeightWatch watch_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> chat_template_;
  std::string no_tokenizer_;      ///< why there is none
  std::string no_chat_template_;  ///< likewise
  std::vector<std::string> warnings_;
  std::size_t result_warnings_ = 0;  ///< how many of them, at their beginning
  std::size_t text_warnings_ = 0;    ///< how many of those that follow
  std::shared_ptr<const void> storage_;
};

}  // namespace expertscope
