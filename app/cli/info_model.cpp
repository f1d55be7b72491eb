// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/info_model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "app/cli/console.h"
#include "engine/backend/sizes.h"
#include "engine/cpu/kv_cache.h"
#include "engine/model/weight_groups.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "engine/text/unicode_additions.h"
#include "engine/text/unicode_form.h"
#include "engine/text/visible_text.h"

namespace expertscope::cli {
namespace {

/// Weights in all, and those that one token passes through.
struct Parameters {
  std::int64_t total = 0;
  std::int64_t active = 0;
};

Parameters count_parameters(const Model& model, const std::vector<WeightGroup>& groups) {
  Parameters parameters;
  for (const WeightGroup& group : groups)
    parameters.total += group.elements;
  parameters.active = parameters.total;
  for (int n = 0; n < model.config().num_layers(); ++n) {
    const LayerSpec& layer = model.config().layer(n);
    const std::int64_t matrices = layer.expert.gated ? 3 : 2;
    const std::int64_t expert = matrices * layer.expert.width * model.config().hidden_size;
    parameters.active -= expert * (layer.router.experts - layer.router.top_k);
  }
  return parameters;
}

/// "experts F8_E4M3, attention F8_E4M3, router BF16, ..."; "all BF16" where there is one format.
std::string formats_text(const std::vector<WeightGroup>& groups) {
  std::set<std::string_view> all;
  std::string text;
  for (const WeightGroup& group : groups) {
    if (group.formats.empty()) continue;
    all.insert(group.formats.begin(), group.formats.end());
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", group.name, fmt::join(group.formats, " and "));
  }
  return all.size() == 1 ? std::string(*all.begin()) : text;
}

double bits_per_weight(const std::vector<WeightGroup>& groups) {
  WeightGroup all;
  for (const WeightGroup& group : groups) {
    if (group.formats.empty()) continue;
    all.elements += group.elements;
    all.bytes += group.bytes;
  }
  return all.bits_per_weight();
}

nlohmann::ordered_json groups_json(const std::vector<WeightGroup>& groups) {
  auto json = nlohmann::ordered_json::array();
  for (const WeightGroup& group : groups) {
    if (group.formats.empty()) continue;
    json.push_back({{"part", group.name},
                    {"formats", group.formats},
                    {"elements", group.elements},
                    {"bytes", group.bytes},
                    {"bits_per_weight", group.bits_per_weight()}});
  }
  return json;
}

std::int64_t kv_bytes_per_token(const ModelConfig& config, MathMode math) {
  BackendOptions options;
  options.math = math;
  options.max_sequences = 1;
  options.max_context = 1;
  return static_cast<std::int64_t>(cpu::KvCache::bytes(config, options).value());
}

/// The first layer with experts, which a model has.
const LayerSpec& moe_layer(const ModelConfig& config) {
  return *std::find_if(config.layers.begin(), config.layers.end(),
                       [](const LayerSpec& layer) { return layer.is_moe(); });
}

/// The first layer that is one of this kind; null: none.
const LayerSpec* first_layer(const ModelConfig& config, MixerKind mixer) {
  const auto it = std::find_if(config.layers.begin(), config.layers.end(),
                               [&](const LayerSpec& layer) { return layer.mixer == mixer; });
  return it == config.layers.end() ? nullptr : &*it;
}

std::string router_text(const RouterSpec& router) {
  const bool sigmoid = router.score == RouterSpec::Score::sigmoid;
  std::string text = sigmoid ? "sigmoid" : "softmax";
  if (router.score == RouterSpec::Score::softmax_of_chosen) text += " of the chosen";
  if (router.correction_bias) text += ", correction bias";
  if (router.groups > 1) text += fmt::format(", {} of {} groups", router.top_groups, router.groups);
  if (router.renormalise) text += ", weights renormalised";
  if (router.scale != 1.0f) text += fmt::format(", scaled by {:g}", router.scale);
  return text;
}

nlohmann::ordered_json config_json(const ModelConfig& config) {
  const WidestLayer most = config.widest();
  const LayerSpec* attention = first_layer(config, MixerKind::attention);
  const RotarySpec rotary = attention != nullptr ? attention->attention.rotary : RotarySpec();
  const LayerSpec& moe = moe_layer(config);
  return {
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"num_hidden_layers", config.num_layers()},
      {"num_moe_layers", config.num_moe_layers()},
      {"num_linear_attention_layers", config.delta_nets_before(config.num_layers())},
      {"num_attention_heads", most.heads},
      {"num_key_value_heads", most.kv_heads},
      {"head_dim", most.head_dim},
      {"intermediate_size", most.dense_width},
      {"num_experts", most.experts},
      {"num_experts_per_tok", most.top_k},
      {"moe_intermediate_size", most.expert_width},
      {"norm_topk_prob", moe.router.renormalise},
      {"shared_expert_width", moe.shared.width},
      {"router", router_text(moe.router)},
      {"tie_word_embeddings", config.tie_word_embeddings},
      {"max_position_embeddings", config.max_position_embeddings},
      {"rope_theta", rotary.theta},
      {"bos_token_id", config.bos_token_id},
      {"eos_token_ids", config.eos_token_ids},
  };
}

std::string line(const char* label, const std::string& value) {
  return fmt::format("  {:<14} {}\n", label, visible_text(value));
}

std::string experts_text(const ModelConfig& config) {
  const WidestLayer most = config.widest();
  const LayerSpec& layer = moe_layer(config);
  std::string text =
      fmt::format("{} per MoE layer, top-{}, width {}", most.experts, most.top_k, most.expert_width);
  if (layer.shared.width > 0)
    text += fmt::format(", beside a shared one of width {}{}", layer.shared.width,
                        layer.shared_gate ? " behind a gate" : "");
  if (layer.dense.width > 0) text += fmt::format(", beside a dense MLP of width {}", layer.dense.width);
  return text;
}

std::string heads_text(const AttentionSpec& spec) {
  if (spec.has_latent())
    return fmt::format("{} query heads over a latent of {}, and {} elements that turn", spec.heads,
                       spec.latent.rank, spec.rotary.width);
  const auto window = spec.window > 0 ? fmt::format(", window {}", spec.window) : std::string();
  return fmt::format("{} query heads, {} key/value heads of {}{}", spec.heads, spec.kv_heads, spec.head_dim,
                     window);
}

/// Of every kind of layer that is attention.
std::string attention_text(const ModelConfig& config) {
  std::vector<std::pair<std::string, int>> kinds;  // and their layers
  for (const LayerSpec& layer : config.layers) {
    if (layer.mixer != MixerKind::attention) continue;
    const std::string text = heads_text(layer.attention);
    const auto it =
        std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.first == text; });
    if (it != kinds.end()) {
      ++it->second;
    } else {
      kinds.emplace_back(text, 1);
    }
  }
  if (kinds.size() == 1) return kinds.front().first;
  std::vector<std::string> texts;
  for (const auto& [text, layers] : kinds)
    texts.push_back(fmt::format("{} in {} layers", text, layers));
  return fmt::format("{}", fmt::join(texts, "; "));
}

/// Empty where a model has none.
std::string linear_attention_text(const ModelConfig& config) {
  const LayerSpec* layer = first_layer(config, MixerKind::linear_attention);
  if (layer == nullptr) return {};
  const DeltaNetSpec& spec = layer->delta_net;
  return fmt::format("Gated DeltaNet in {} of the layers, {} key heads of {}, {} value heads of {}",
                     config.delta_nets_before(config.num_layers()), spec.key_heads, spec.key_dim,
                     spec.value_heads, spec.value_dim);
}

/// Texts with characters that are newer become other tokens than in transformers.
nlohmann::ordered_json tokenizer_json(const Tokenizer& tokenizer) {
  return {{"vocab_size", tokenizer.vocab_size()},
          {"unicode",
           {{"classes", kUnicodeOfClasses},
            {"normal_forms", unicode_of_forms()},
            {"lower_case", unicode_of_forms()}}}};
}

std::string memory_text(const Model& model) {
  const auto kv = CheckedSize(kv_bytes_per_token(model.config(), MathMode::bf16));
  const int context = model.config().max_position_embeddings;
  return fmt::format("{} of weights (mapped), {} of KV cache a token, {} at {} tokens",
                     format_bytes(static_cast<std::size_t>(model.identity().total_bytes)),
                     format_bytes(kv.value()), format_bytes((kv * CheckedSize(context)).value()),
                     format_count(context));
}

}  // namespace

nlohmann::ordered_json model_json(const Model& model) {
  const ModelConfig& config = model.config();
  const ModelIdentity& identity = model.identity();
  const std::vector<WeightGroup> groups = weight_groups(model);
  const Parameters parameters = count_parameters(model, groups);
  nlohmann::ordered_json json = {
      {"kind", "model"},
      {"path", identity.path},
      {"name", identity.name},
      {"architecture", config.architecture},
      {"model_type", config.model_type},
      {"config", config_json(config)},
      {"parameters", {{"total", parameters.total}, {"active", parameters.active}}},
      {"weights", groups_json(groups)},
      {"tensor_count", identity.tensor_count},
      {"total_bytes", identity.total_bytes},
      {"config_sha256", identity.config_sha256},
      {"kv_bytes_per_token",
       {{"bf16", kv_bytes_per_token(config, MathMode::bf16)},
        {"f32", kv_bytes_per_token(config, MathMode::f32)}}},
      {"tokenizer", nullptr},
      {"chat_template", nullptr},
      {"warnings", model.warnings()},
  };
  if (model.tokenizer() != nullptr) json["tokenizer"] = tokenizer_json(*model.tokenizer());
  if (model.chat_template() != nullptr) json["chat_template"] = true;
  return json;
}

std::string model_text(const Model& model) {
  const ModelConfig& config = model.config();
  const std::vector<WeightGroup> groups = weight_groups(model);
  const Parameters parameters = count_parameters(model, groups);
  std::string text = heading(visible_text(model.identity().name)) + "\n";
  text += line("folder", model.identity().path);
  text += line("architecture", fmt::format("{} ({})", config.architecture, config.model_type));
  text += line("layers", fmt::format("{}, {} of them with experts, width {}", config.num_layers(),
                                     config.num_moe_layers(), config.hidden_size));
  text += line("experts", experts_text(config));
  text += line("router", router_text(moe_layer(config).router));
  text += line("attention", attention_text(config));
  const std::string linear = linear_attention_text(config);
  if (!linear.empty()) text += line("", linear);
  text += line("vocabulary", fmt::format("{}, {} embeddings", format_count(config.vocab_size),
                                         config.tie_word_embeddings ? "tied" : "untied"));
  text += line("parameters", fmt::format("{}, {} active for a token", format_count(parameters.total),
                                         format_count(parameters.active)));
  text += line("weights", fmt::format("{} tensors of {:.4g} bits a weight, {}", model.identity().tensor_count,
                                      bits_per_weight(groups), formats_text(groups)));
  text += line("memory", memory_text(model));
  text += line("tokenizer", model.tokenizer() != nullptr
                                ? fmt::format("{} tokens", format_count(model.tokenizer()->vocab_size()))
                                : "none");
  if (model.tokenizer() != nullptr)
    text +=
        line("unicode", fmt::format("{} in classes of characters, {} in normal forms (NFC) and lower case",
                                    kUnicodeOfClasses, unicode_of_forms()));
  text += line("chat template", model.chat_template() != nullptr ? "the model's own" : "none");
  text += line("config sha256", model.identity().config_sha256);
  for (const std::string& warning : model.warnings())
    text += line("warning", warning);
  return text;
}

}  // namespace expertscope::cli
