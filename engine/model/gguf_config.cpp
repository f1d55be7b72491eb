// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <string_view>

#include "engine/model/config_reader.h"

namespace expertscope {
namespace {

/// What llama.cpp's converter calls the keys of config.json (Keys in gguf-py/gguf/constants.py), for every
/// architecture.
constexpr ConfigKeys::Alias kAliases[] = {
    {"hidden_size", "embedding_length"},
    {"max_position_embeddings", "context_length"},
    {"num_hidden_layers", "block_count"},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon"},
    {"rope_theta", "rope.freq_base"},
    {"rope_scaling", "rope.scaling"},
    {"rope_type", "type"},
    {"original_max_position_embeddings", "original_context_length"},
    {"beta_fast", "yarn_beta_fast"},
    {"beta_slow", "yarn_beta_slow"},
    {"num_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"norm_topk_prob", "expert_weights_norm"},
    {"routed_scaling_factor", "expert_weights_scale"},
    {"n_group", "expert_group_count"},
    {"topk_group", "expert_group_used_count"},
    {"n_shared_experts", "expert_shared_count"},
    {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
    {"first_k_dense_replace", "leading_dense_block_count"}};

std::string alias(std::string_view key) {
  const auto* it = std::find_if(std::begin(kAliases), std::end(kAliases),
                                [&](const ConfigKeys::Alias& one) { return one.key == key; });
  return std::string(it == std::end(kAliases) ? key : it->here);
}

Result<const Family*> find_gguf_family(const JsonFields& fields) {
  constexpr const char* kKey = "general.architecture";
  const auto name = fields.string(kKey);
  if (!name) return forward_error(name);
  const auto type = fields.string_or("general.type", "model");
  if (!type) return forward_error(type);
  if (*type != "model")
    return fields.error(ErrorCode::unsupported, "general.type",
                        fmt::format("the file holds no model, but: {}", json_excerpt(*type)));
  std::vector<std::string_view> known;
  for (const Family* family : families()) {
    if (family->gguf == nullptr) continue;
    if (*name == family->gguf) return family;
    known.emplace_back(family->gguf);
  }
  return fields.error(ErrorCode::unsupported, kKey,
                      fmt::format("{} is not supported in GGUF files; supported: {}", json_excerpt(*name),
                                  fmt::join(known, ", ")));
}

/// The keys of the architecture without its name; those of rope.scaling in an object of their own.
Json keys_of(const Json& metadata, const std::string& architecture) {
  const std::string prefix = architecture + ".";
  constexpr std::string_view kScaling = "rope.scaling.";
  Json keys = Json::object();
  Json scaling = Json::object();
  for (const auto& [key, value] : metadata.items()) {
    if (!key.starts_with(prefix)) continue;
    const std::string rest = key.substr(prefix.size());
    if (!rest.starts_with(kScaling)) keys[rest] = value;
    if (rest.starts_with(kScaling)) scaling[rest.substr(kScaling.size())] = value;
  }
  scaling.erase("finetuned");  // how the model was trained
  if (!scaling.contains("type") && scaling.contains("factor")) scaling["type"] = "linear";
  const bool stretched = scaling.contains("type") && scaling["type"] != "none";
  if (stretched) keys["rope.scaling"] = std::move(scaling);
  return keys;
}

/// Keys that config.json has otherwise: checked here and taken out where they say what is so anyway.
Status settle_keys(const std::string& file, const std::string& architecture, Json& keys) {
  const auto fields = JsonFields::of(keys, file, architecture);
  if (!fields) return forward_error(fields);
  const auto head = fields->integer_or("attention.key_length", 0, 0, ConfigKeys::kMaxWidth);
  if (!head) return forward_error(head);
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    const auto width = fields->integer_or(key, *head, 0, ConfigKeys::kMaxWidth);
    if (!width) return forward_error(width);
    if (*head > 0 && *width != *head)
      return fields->error(
          ErrorCode::unsupported, key,
          fmt::format("{} is not supported beside an attention.key_length of {}", *width, *head));
  }
  struct Known {
    const char* key;
    Json value;
  };
  // 1: LLAMA_EXPERT_GATING_FUNC_TYPE_SOFTMAX
  const Known known[] = {{"expert_gating_func", 1}, {"attention.causal", true}, {"expert_shared_count", 0}};
  for (const Known& one : known)
    if (const auto it = keys.find(one.key); it != keys.end() && *it == one.value) keys.erase(it);
  for (const char* key :
       {"attention.value_length", "rope.dimension_count", "vocab_size", "tensor_data_layout"})
    keys.erase(key);
  return {};
}

/// What the tensors say: the rows of the embedding, and whether lm_head is another matrix.
Status add_from_tensors(const std::vector<SourceTensor>& tensors, const std::string& file, Json& keys) {
  const TensorNames names = gguf_tensor_names();
  const auto find = [&](const char* name) {
    return std::find_if(tensors.begin(), tensors.end(),
                        [&](const SourceTensor& tensor) { return tensor.name == name; });
  };
  const auto embedding = find(names.embed_tokens);
  if (embedding == tensors.end() || embedding->shape.size() != 2)
    return fail(ErrorCode::mismatch, "{}: tensor {}, with a row a token, is missing", file,
                names.embed_tokens);
  keys["vocab_size"] = embedding->shape[0];
  keys["tie_word_embeddings"] = find(names.lm_head) == tensors.end();
  return {};
}

/// The ids that end a text: llama.cpp stops at each of the three.
Status read_gguf_token_ids(const Json& metadata, const std::string& file, ParsedConfig& parsed) {
  constexpr const char* kPath = "tokenizer.ggml";
  Json ids = Json::object();
  Json::array_t ends;
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"})
    if (const auto it = metadata.find(fmt::format("{}.{}", kPath, key)); it != metadata.end())
      ends.push_back(*it);
  ids["eos_token_id"] = std::move(ends);
  if (const auto it = metadata.find("tokenizer.ggml.bos_token_id"); it != metadata.end())
    ids["bos_token_id"] = *it;
  const auto fields = JsonFields::of(ids, file, kPath);
  if (!fields) return forward_error(fields);
  return read_token_ids(*fields, parsed);
}

}  // namespace

Result<ParsedConfig> parse_gguf_config(const Json& metadata, const std::vector<SourceTensor>& tensors,
                                       const std::string& file) {
  const auto all = JsonFields::of(metadata, file);
  if (!all) return forward_error(all);
  const auto family = find_gguf_family(*all);
  if (!family) return forward_error(family);
  const std::string architecture = (*family)->gguf;
  Json keys = keys_of(metadata, architecture);
  Status ok = settle_keys(file, architecture, keys);
  if (ok) ok = add_from_tensors(tensors, file, keys);
  if (!ok) return forward_error(ok);
  if ((*family)->gguf_defaults != nullptr) {
    const auto defaults = parse_json((*family)->gguf_defaults, (*family)->name);
    if (!defaults) return forward_error(defaults);
    for (const auto& [key, value] : defaults->items())
      if (!keys.contains(alias(key))) keys[alias(key)] = value;
  }
  const auto fields = JsonFields::of(keys, file, architecture);
  if (!fields) return forward_error(fields);
  ConfigKeys config_keys(*fields, kAliases);
  ParsedConfig parsed;
  ok = read_layers(**family, config_keys, parsed);
  if (ok) ok = read_gguf_token_ids(metadata, file, parsed);
  if (!ok) return forward_error(ok);
  parsed.tensors = gguf_tensor_names();
  return parsed;
}

}  // namespace expertscope
