// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <set>

#include "engine/formats/json_fields.h"
#include "engine/model/config_reader.h"

namespace expertscope {
namespace {

constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxVocabulary = 1 << 24;
constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxHeads = 65536;
constexpr std::int64_t kMaxExperts = 65536;

/// The name under which a value stands in this file; the family's first name when it is absent.
std::string present_name(const JsonFields& fields, const ConfigKey& key) {
  const std::string found = fields.first_of(key.all());
  return found.empty() ? key.all().front() : found;
}

/// "index 7", "indices 7, 8 and 3 more": the first of many numbers.
std::string counted(const char* one, const char* many, const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t kShown = 3;
  if (numbers.size() == 1) return fmt::format("{} {}", one, numbers.front());
  const auto end = numbers.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, numbers.size()));
  const auto shown = fmt::format("{} {}", many, fmt::join(numbers.begin(), end, ", "));
  return numbers.size() <= kShown ? shown : fmt::format("{} and {} more", shown, numbers.size() - kShown);
}

/// Reads many fields and keeps the first error, so that the caller checks once.
class FieldReader {
 public:
  explicit FieldReader(const JsonFields& fields) : fields_(fields) {}

  void size(int& out, const ConfigKey& key, std::int64_t max) {
    keep(fields_.integer(present_name(fields_, key), 1, max), out);
  }
  void size(int& out, const char* key, std::int64_t max) { size(out, ConfigKey{{key}}, max); }
  void size_or(int& out, const ConfigKey& key, int fallback, std::int64_t max) {
    keep(fields_.integer_or(present_name(fields_, key), fallback, 1, max), out);
  }
  void flag(bool& out, const ConfigKey& key, bool fallback) {
    keep(fields_.boolean_or(present_name(fields_, key), fallback), out);
  }
  template <class T, class Value>
  void keep(const Result<T>& result, Value& out) {
    if (result) out = static_cast<Value>(*result);
    if (!result && status_) status_ = forward_error(result);
  }
  const Status& status() const { return status_; }

 private:
  const JsonFields& fields_;
  Status status_;
};

Status read_sizes(const JsonFields& fields, const Architecture& architecture, ModelConfig& config) {
  const auto& keys = architecture.keys;
  const auto& defaults = architecture.switches;
  FieldReader read(fields);
  read.size(config.vocab_size, "vocab_size", kMaxVocabulary);
  read.size(config.hidden_size, "hidden_size", kMaxWidth);
  read.size(config.num_hidden_layers, "num_hidden_layers", kMaxLayers);
  read.size(config.num_attention_heads, "num_attention_heads", kMaxHeads);
  read.size(config.num_key_value_heads, "num_key_value_heads", kMaxHeads);
  read.size(config.num_experts, keys.num_experts, kMaxExperts);
  read.size(config.num_experts_per_tok, keys.num_experts_per_tok, kMaxExperts);
  read.size(config.moe_intermediate_size, keys.moe_intermediate_size, kMaxWidth);
  read.size_or(config.max_position_embeddings, {{"max_position_embeddings"}}, defaults.max_position_default,
               kMaxInt32);
  if (config.num_attention_heads > 0)
    read.size_or(config.head_dim, {{"head_dim"}}, config.hidden_size / config.num_attention_heads, kMaxWidth);
  read.flag(config.norm_topk_prob, keys.norm_topk_prob, defaults.norm_topk_prob_default);
  read.flag(config.tie_word_embeddings, {{"tie_word_embeddings"}}, defaults.tie_word_embeddings_default);
  read.flag(config.attention_bias, {{"attention_bias"}}, false);
  read.keep(fields.number_or("rms_norm_eps", defaults.rms_norm_eps_default, 0.0, 1.0), config.rms_norm_eps);
  return read.status();
}

Status check_sizes(const JsonFields& fields, const ModelConfig& config) {
  if (config.num_attention_heads % config.num_key_value_heads != 0)
    return fields.error(ErrorCode::mismatch, "num_key_value_heads",
                        fmt::format("{} does not divide num_attention_heads {}", config.num_key_value_heads,
                                    config.num_attention_heads));
  if (config.head_dim < 2 || config.head_dim % 2 != 0)
    return fields.error(
        ErrorCode::mismatch, "head_dim",
        fmt::format("{} is not an even number, which rotary embeddings need", config.head_dim));
  if (config.num_experts_per_tok > config.num_experts)
    return fields.error(ErrorCode::mismatch, "num_experts_per_tok",
                        fmt::format("{} experts per token, but only {} experts", config.num_experts_per_tok,
                                    config.num_experts));
  return {};
}

/// Which layers are MoE blocks: every decoder_sparse_step-th one, unless mlp_only_layers names it
/// (Qwen3MoeDecoderLayer of transformers).
Status read_layer_kinds(const JsonFields& fields, const Architecture& architecture, ParsedConfig& parsed) {
  auto& config = parsed.config;
  const auto layers = static_cast<std::size_t>(config.num_hidden_layers);
  const auto step =
      fields.integer_or(present_name(fields, architecture.keys.decoder_sparse_step), 1, 1, kMaxInt32);
  if (!step) return forward_error(step);
  config.moe_layer.assign(layers, 0);
  for (std::size_t i = 0; i < layers; ++i)
    config.moe_layer[i] = (i + 1) % static_cast<std::size_t>(*step) == 0;

  const std::string dense_key = present_name(fields, architecture.keys.mlp_only_layers);
  if (fields.has(dense_key)) {
    const auto dense = fields.integers(dense_key, std::numeric_limits<std::int64_t>::min(),
                                       std::numeric_limits<std::int64_t>::max());
    if (!dense) return forward_error(dense);
    std::vector<std::int64_t> beyond;
    for (const auto layer : *dense) {
      const bool there = layer >= 0 && layer < config.num_hidden_layers;
      if (there) config.moe_layer[static_cast<std::size_t>(layer)] = 0;
      if (!there) beyond.push_back(layer);
    }
    if (!beyond.empty())
      parsed.warnings.push_back(fmt::format("{}: {}: {} beyond the {} layers, ignored.", fields.file(),
                                            dense_key, counted("index", "indices", beyond),
                                            config.num_hidden_layers));
  }
  if (config.num_moe_layers() == 0)
    return fail(ErrorCode::unsupported, "{}: no layer of this model is a mixture of experts", fields.file());
  const auto& width = architecture.keys.intermediate_size;
  const bool needs_dense = config.num_moe_layers() < config.num_hidden_layers;
  FieldReader read(fields);
  if (needs_dense) {
    read.size(config.intermediate_size, width, kMaxWidth);
  } else {
    read.keep(fields.integer_or(present_name(fields, width), 0, 0, kMaxWidth), config.intermediate_size);
  }
  return read.status();
}

Status check_partial_rotary(const JsonFields& fields) {
  const auto factor = fields.number_or("partial_rotary_factor", 1.0, 0.0, 1.0);
  if (!factor) return forward_error(factor);
  if (*factor == 1.0) return {};
  return fields.error(ErrorCode::unsupported, "partial_rotary_factor",
                      "only 1 (rotate the whole head) is supported");
}

/// A rope_scaling or rope_parameters object: only the plain rotary embedding runs here.
Status read_rope_object(const JsonFields& rope, ModelConfig& config) {
  for (const char* key : {"rope_type", "type"}) {
    const auto type = rope.string_or(key, "default");
    if (!type) return forward_error(type);
    if (*type != "default")
      return rope.error(ErrorCode::unsupported, key,
                        fmt::format("\"{}\" is not supported, only \"default\" is", *type));
  }
  const auto theta = rope.number_or("rope_theta", config.rope_theta, 1.0, 1e30);
  if (!theta) return forward_error(theta);
  config.rope_theta = *theta;
  if (auto ok = check_partial_rotary(rope); !ok) return ok;
  constexpr std::array<std::string_view, 4> kKnown = {"rope_type", "type", "rope_theta",
                                                      "partial_rotary_factor"};
  for (const auto& key : rope.keys())
    if (rope.has(key) && std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end())
      return rope.error(ErrorCode::unsupported, key, "this rotary embedding setting is not supported");
  return {};
}

Status read_rope(const JsonFields& fields, const Architecture& architecture, ModelConfig& config) {
  const auto theta = fields.number_or("rope_theta", architecture.switches.rope_theta_default, 1.0, 1e30);
  if (!theta) return forward_error(theta);
  config.rope_theta = *theta;
  if (auto ok = check_partial_rotary(fields); !ok) return ok;
  // rope_scaling comes last: transformers lets it win over rope_parameters.
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!fields.has(key)) continue;
    const auto rope = fields.object(key);
    if (!rope) return forward_error(rope);
    if (auto ok = read_rope_object(*rope, config); !ok) return ok;
  }
  return {};
}

/// Qwen3MoeConfig keeps sliding_window only with use_sliding_window, and then it is 4096 unless it says
/// something else, or null; without the flag an integer there is not in force.
Status refuse_windows(const JsonFields& fields) {
  const auto window = fields.boolean_or("use_sliding_window", false);
  if (!window) return forward_error(window);
  const auto length = fields.json().find("sliding_window");
  const bool off = length != fields.json().end() && length->is_null();
  if (*window && !off)
    return fields.error(ErrorCode::unsupported, "use_sliding_window", "sliding windows are not supported");
  if (!fields.has("layer_types")) return {};
  const auto types = fields.array("layer_types");
  if (!types) return forward_error(types);
  for (const Json& type : **types)
    if (type != "full_attention")
      return fields.error(ErrorCode::unsupported, "layer_types",
                          fmt::format("{} is not supported, only \"full_attention\" is", json_excerpt(type)));
  return {};
}

/// How the weights were quantised, as people call it.
std::string quantiser(const JsonFields& quantization) {
  const auto method = quantization.string_or("quant_method", "").value_or("");
  struct Known {
    std::string_view method;
    const char* name;
  };
  constexpr Known kKnown[] = {{"gptq", "GPTQ"},      {"awq", "AWQ"},     {"fp8", "FP8"},
                              {"fbgemm_fp8", "FP8"}, {"mxfp4", "MXFP4"}, {"bitsandbytes", "bitsandbytes"}};
  for (const auto& known : kKnown)
    if (method == known.method) return known.name;
  if (!method.empty()) return json_excerpt(method);
  if (quantization.has("load_in_4bit") || quantization.has("load_in_8bit")) return "bitsandbytes";
  if (quantization.has("group_size") && quantization.has("bits")) return "MLX";
  return "in a way that is not named";
}

Status refuse_quantised(const JsonFields& fields) {
  for (const char* key : {"quantization_config", "quantization", "compression_config"}) {
    if (!fields.has(key)) continue;
    const auto quantization = fields.object(key);
    if (!quantization) return forward_error(quantization);
    return fields.error(ErrorCode::unsupported, key,
                        fmt::format("the weights are quantised ({}), which is not supported; open the folder "
                                    "of the original model, with BF16, F16 or F32 weights",
                                    quantiser(*quantization)));
  }
  return {};
}

/// Settings that would change the arithmetic and that this program does not run.
Status refuse_unsupported(const JsonFields& fields) {
  if (auto ok = refuse_windows(fields); !ok) return ok;
  const auto activation = fields.string_or("hidden_act", "silu");
  if (!activation) return forward_error(activation);
  if (*activation != "silu" && *activation != "swish")
    return fields.error(ErrorCode::unsupported, "hidden_act",
                        fmt::format("\"{}\" is not supported, only \"silu\" is", *activation));
  return refuse_quantised(fields);
}

/// Leftover defaults outside a cut vocabulary are common; such a token can never be produced or fed.
void drop_foreign_tokens(const std::string& file, ParsedConfig& parsed) {
  auto& config = parsed.config;
  const auto foreign = [&](std::int32_t id) { return id >= config.vocab_size; };
  const auto warn = [&](const char* key, const std::vector<std::int32_t>& ids) {
    if (ids.empty()) return;
    const auto more = ids.size() > 1 ? fmt::format(" and {} more are", ids.size() - 1) : " is";
    parsed.warnings.push_back(fmt::format("{}: {} {}{} outside the vocabulary of {} and ignored.", file, key,
                                          ids.front(), more, config.vocab_size));
  };
  if (foreign(config.bos_token_id)) {
    warn("bos_token_id", {config.bos_token_id});
    config.bos_token_id = -1;
  }
  std::vector<std::int32_t> dropped;
  std::copy_if(config.eos_token_ids.begin(), config.eos_token_ids.end(), std::back_inserter(dropped),
               foreign);
  warn("eos_token_id", dropped);
  std::erase_if(config.eos_token_ids, foreign);
}

/// In the order of the file, each id once.
std::vector<std::int32_t> distinct(const std::vector<std::int64_t>& ids) {
  std::set<std::int64_t> seen = {-1};  // some files write -1 for "none"
  std::vector<std::int32_t> kept;
  for (const auto id : ids)
    if (seen.insert(id).second) kept.push_back(static_cast<std::int32_t>(id));
  return kept;
}

/// The first row of the table that an attribute names.
const Architecture* row_where(std::string_view value, const char* Architecture::*attribute) {
  const auto rows = architectures();
  const auto it = std::find_if(rows.begin(), rows.end(),
                               [&](const Architecture& row) { return row.*attribute == value; });
  return it == rows.end() ? nullptr : &*it;
}

/// "Qwen3Moe" of Qwen3MoeForCausalLM: how the classes of a family begin.
std::string_view family(std::string_view name) {
  return name.substr(0, name.find("For"));
}

/// The class in `architectures`; empty where there is none.
Result<std::string> class_name(const JsonFields& fields) {
  if (!fields.has("architectures")) return std::string{};
  const auto list = fields.array("architectures");
  if (!list) return forward_error(list);
  if ((*list)->empty()) return std::string{};
  if (!(*list)->front().is_string())
    return fields.error(ErrorCode::format, "architectures", "expected a list with the name of a class");
  return (*list)->front().get<std::string>();
}

/// transformers goes by model_type and does not look at the class; here the class decides, and model_type
/// where there is no class or one of the same family.
Result<const Architecture*> read_architecture(const JsonFields& fields, std::vector<std::string>& warnings) {
  const auto name = class_name(fields);
  if (!name) return forward_error(name);
  const auto type = fields.string_or("model_type", "");
  if (!type) return forward_error(type);
  const auto* by_type = row_where(*type, &Architecture::model_type);
  const auto* by_name = row_where(*name, &Architecture::name);
  if (by_name != nullptr) {
    if (!type->empty() && *type != by_name->model_type)
      warnings.push_back(fmt::format("{}: model_type {} contradicts architectures; the model is read as {}.",
                                     fields.file(), json_excerpt(*type), by_name->name));
    return by_name;
  }
  if (by_type != nullptr && name->empty()) return by_type;
  if (by_type != nullptr && name->starts_with(family(by_type->name))) {
    warnings.push_back(fmt::format("{}: architectures says {}; the model is read as {}, of the same family.",
                                   fields.file(), json_excerpt(*name), by_type->name));
    return by_type;
  }
  if (!name->empty()) return find_architecture(*name, fields.file());
  return fields.error(ErrorCode::format, "architectures",
                      "this field is missing, and model_type is none that is supported");
}

}  // namespace

Result<ParsedConfig> parse_config(std::string_view text, const std::string& file) {
  const auto document = parse_json(text, file, {.dialect = JsonDialect::python});
  if (!document) return forward_error(document);
  const auto fields = JsonFields::of(*document, file);
  if (!fields) return forward_error(fields);
  ParsedConfig parsed;
  const auto architecture = read_architecture(*fields, parsed.warnings);
  if (!architecture) return forward_error(architecture);

  parsed.architecture = *architecture;
  auto& config = parsed.config;
  config.architecture = parsed.architecture->name;
  config.model_type = parsed.architecture->model_type;
  config.qk_norm = parsed.architecture->switches.qk_norm;
  Status ok = refuse_unsupported(*fields);
  if (ok) ok = read_sizes(*fields, *parsed.architecture, config);
  if (ok) ok = check_sizes(*fields, config);
  if (ok) ok = read_layer_kinds(*fields, *parsed.architecture, parsed);
  if (ok) ok = read_rope(*fields, *parsed.architecture, config);
  if (ok) ok = read_token_ids(*fields, parsed);
  if (!ok) return forward_error(ok);
  return parsed;
}

Status read_token_ids(const JsonFields& fields, ParsedConfig& parsed) {
  constexpr std::size_t kMost = 1024;  // every token is compared with all of them
  auto& config = parsed.config;
  const auto bos = fields.integer_or("bos_token_id", config.bos_token_id, -1, kMaxInt32);
  if (!bos) return forward_error(bos);
  const auto eos = fields.integers_or_one("eos_token_id", -1, kMaxInt32);
  if (!eos) return forward_error(eos);
  auto ids = distinct(*eos);
  if (ids.size() > kMost)
    return fields.error(
        ErrorCode::format, "eos_token_id",
        fmt::format("{} ids end a text, more than the {} that are allowed", ids.size(), kMost));
  config.bos_token_id = static_cast<std::int32_t>(*bos);
  if (!eos->empty()) config.eos_token_ids = std::move(ids);
  drop_foreign_tokens(fields.file(), parsed);
  return {};
}

}  // namespace expertscope
