// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

#include "engine/formats/json_fields.h"
#include "engine/model/config_parts.h"
#include "engine/model/config_reader.h"

namespace expertscope {
namespace {

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

/// The first family that an attribute names.
const Family* family_where(std::string_view value, const char* Family::*attribute) {
  const auto all = families();
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const Family* one) { return one->*attribute == value; });
  return it == all.end() ? nullptr : *it;
}

/// "Qwen3Moe" of Qwen3MoeForCausalLM: how the classes of a family begin.
std::string_view stem(std::string_view name) {
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
Result<const Family*> read_family(const JsonFields& fields, std::vector<std::string>& warnings) {
  const auto name = class_name(fields);
  if (!name) return forward_error(name);
  const auto type = fields.string_or("model_type", "");
  if (!type) return forward_error(type);
  const auto* by_type = family_where(*type, &Family::model_type);
  const auto* by_name = family_where(*name, &Family::name);
  if (by_name != nullptr) {
    const bool other = by_name->other_type != nullptr && *type == by_name->other_type;
    if (!type->empty() && !other && *type != by_name->model_type)
      warnings.push_back(fmt::format("{}: model_type {} contradicts architectures; the model is read as {}.",
                                     fields.file(), json_excerpt(*type), by_name->name));
    return by_name;
  }
  if (by_type != nullptr && name->empty()) return by_type;
  if (by_type != nullptr && name->starts_with(stem(by_type->name))) {
    warnings.push_back(fmt::format("{}: architectures says {}; the model is read as {}, of the same family.",
                                   fields.file(), json_excerpt(*name), by_type->name));
    return by_type;
  }
  if (!name->empty()) return find_family(*name, fields.file());
  return fields.error(ErrorCode::format, "architectures",
                      "this field is missing, and model_type is none that is supported");
}

}  // namespace

int ModelConfig::num_moe_layers() const {
  return static_cast<int>(
      std::count_if(layers.begin(), layers.end(), [](const LayerSpec& layer) { return layer.is_moe(); }));
}

std::vector<std::uint8_t> ModelConfig::moe_layers() const {
  std::vector<std::uint8_t> moe;
  for (const LayerSpec& layer : layers)
    moe.push_back(layer.is_moe() ? 1 : 0);
  return moe;
}

std::vector<std::uint8_t> ModelConfig::shared_layers() const {
  std::vector<std::uint8_t> shared;
  for (const LayerSpec& layer : layers)
    shared.push_back(layer.is_moe() && layer.shared.width > 0 ? 1 : 0);
  return shared;
}

bool ModelConfig::has_shared_expert() const {
  return std::any_of(layers.begin(), layers.end(),
                     [](const LayerSpec& layer) { return layer.is_moe() && layer.shared.width > 0; });
}

int ModelConfig::delta_nets_before(int count) const {
  const auto is_delta_net = [](const LayerSpec& layer) { return layer.mixer == MixerKind::linear_attention; };
  return static_cast<int>(std::count_if(layers.begin(), layers.begin() + count, is_delta_net));
}

bool ModelConfig::can_rewind() const {
  return std::all_of(layers.begin(), layers.end(),
                     [](const LayerSpec& layer) { return layer.mixer == MixerKind::attention; });
}

WidestLayer ModelConfig::widest() const {
  WidestLayer widest;
  const auto raise = [](int& size, int other) { size = std::max(size, other); };
  for (const LayerSpec& layer : layers) {
    raise(widest.heads, layer.attention.heads);
    raise(widest.kv_heads, layer.attention.kv_heads);
    raise(widest.head_dim, layer.attention.head_dim);
    raise(widest.query_width, layer.attention.query_width());
    raise(widest.q_rows, layer.attention.q_rows());
    raise(widest.output_width, layer.attention.output_width());
    raise(widest.gate_width, layer.attention.gate);
    if (layer.attention.has_latent()) {
      const LatentSpec& latent = layer.attention.latent;
      raise(widest.latent_queries, layer.attention.query_width());
      raise(widest.latent_means, layer.attention.heads * latent.rank);
      raise(widest.latent_q_rank, latent.q_rank);
      raise(widest.latent_head, std::max(latent.rank, latent.nope_dim));
      raise(widest.latent_expanded, layer.attention.kv_b_rows());
    }
    raise(widest.delta_channels, layer.delta_net.channels());
    raise(widest.delta_values, layer.delta_net.values());
    raise(widest.delta_heads, layer.delta_net.value_heads);
    raise(widest.delta_inputs, layer.delta_net.inputs());
    raise(widest.delta_states, layer.delta_net.states());
    raise(widest.key_width, layer.attention.key_width());
    raise(widest.experts, layer.router.experts);
    raise(widest.top_k, layer.router.top_k);
    raise(widest.expert_width, layer.expert.width);
    raise(widest.dense_width, std::max(layer.dense.width, layer.shared.width));
  }
  return widest;
}

Result<ParsedConfig> parse_config(std::string_view text, const std::string& file) {
  const auto document = parse_json(text, file, {.dialect = JsonDialect::python});
  if (!document) return forward_error(document);
  const auto fields = JsonFields::of(*document, file);
  if (!fields) return forward_error(fields);
  ParsedConfig parsed;
  const auto family = read_family(*fields, parsed.warnings);
  if (!family) return forward_error(family);
  const auto quantization = read_quantization(*fields);
  if (!quantization) return forward_error(quantization);
  parsed.quantization = *quantization;

  ConfigKeys keys(*fields);
  keys.ignore({"quantization_config", "quantization", "compression_config"});
  Status ok = read_layers(**family, keys, parsed);
  if (ok) ok = read_token_ids(*fields, parsed);
  if (!ok) return forward_error(ok);
  return parsed;
}

Status read_layers(const Family& family, ConfigKeys& keys, ParsedConfig& parsed) {
  parsed.family = &family;
  parsed.tensors = family.tensors;
  parsed.config.architecture = family.name;
  parsed.config.model_type = family.model_type;
  family.read(keys, parsed.config, parsed.warnings);
  if (auto ok = keys.finish(); !ok) return ok;
  if (parsed.config.num_moe_layers() > 0) return {};
  return fail(ErrorCode::unsupported, "{}: no layer of this model is a mixture of experts",
              keys.fields().file());
}

Status read_token_ids(const JsonFields& fields, ParsedConfig& parsed) {
  if (auto ok = read_token_ids(fields, parsed.config); !ok) return ok;
  drop_foreign_tokens(fields.file(), parsed);
  return {};
}

}  // namespace expertscope
