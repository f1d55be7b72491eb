// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/tensor_census.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace expertscope {
namespace {

/// Names for a sentence: the first few, and how many more.
std::string listed(const std::vector<std::string_view>& names) {
  constexpr std::size_t kShown = 4;
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size()));
  const auto shown = fmt::format("{}", fmt::join(names.begin(), end, ", "));
  return names.size() <= kShown ? shown : fmt::format("{} and {} more", shown, names.size() - kShown);
}

/// The layer that a tensor belongs to; nullopt for one outside the layers.
std::optional<int> layer_of(std::string_view name, const TensorNames& names) {
  const std::string_view pattern = names.q_proj;  // which no family lacks
  const auto stem = pattern.substr(0, pattern.find("{layer}"));
  if (!name.starts_with(stem)) return std::nullopt;
  name.remove_prefix(stem.size());
  int layer = -1;
  const auto end = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool number = end.ec == std::errc() && end.ptr != name.data() + name.size() && *end.ptr == '.';
  return number ? std::optional(layer) : std::nullopt;
}

/// Buffers that some programs save beside the weights and that hold nothing learnt.
bool is_buffer(std::string_view name) {
  for (const std::string_view suffix : {".rotary_emb.inv_freq", "._extra_state", ".attn.masked_bias",
                                        // scales of what runs in fewer bits elsewhere: activations, caches
                                        ".input_scale", ".input_global_scale", ".output_scale",
                                        ".activation_scale", ".k_scale", ".v_scale", ".q_scale"})
    if (name.ends_with(suffix)) return true;
  return false;
}

/// Beside a weight that is used: "lm_head.bias" beside "lm_head.weight".
bool is_sibling(std::string_view name, std::string_view weight) {
  const auto stem = weight.substr(0, weight.rfind('.') + 1);
  return name.starts_with(stem) && name != weight;
}

bool takes_part(std::string_view name, const ModelConfig& config, const TensorNames& names) {
  if (is_buffer(name)) return false;
  if (const auto layer = layer_of(name, names)) return *layer < config.num_layers();
  if (name.starts_with("rope_f")) return true;  // rope_freqs, rope_factors_long: of GGUF files
  return is_sibling(name, names.lm_head) || is_sibling(name, names.norm) ||
         is_sibling(name, names.embed_tokens);
}

}  // namespace

Status refuse_quantised_tensors(const TensorStore& store, const Quantization& quantization) {
  struct Mark {
    std::string_view suffix;
    const char* quantiser;
    bool read = false;  ///< where config.json says how
  };
  constexpr Mark kMarks[] = {{".qweight", "GPTQ or AWQ", true},
                             {".weight_packed", "compressed-tensors", true},
                             {".absmax", "bitsandbytes"},
                             {".SCB", "bitsandbytes"},
                             {".scales", "MLX", true}};
  const auto tensors = store.tensors();
  for (const auto& mark : kMarks) {
    if (mark.read && quantization.packing != Quantization::Packing::none) continue;
    const auto it = std::find_if(tensors.begin(), tensors.end(), [&](const SourceTensor& tensor) {
      return tensor.name.ends_with(mark.suffix);
    });
    if (it == tensors.end()) continue;
    return fail(ErrorCode::unsupported, "{}: tensor {}: the weights are quantised ({}), {}",
                it->file->string(), it->name, mark.quantiser,
                mark.read ? "but config.json does not say how" : "which is not supported");
  }
  return {};
}

Result<std::string> account_for_unused(const TensorStore& store, const std::vector<std::uint8_t>& used,
                                       const ModelConfig& config, const TensorNames& names) {
  std::vector<std::string_view> idle;
  std::vector<std::string_view> wanted;
  const auto tensors = store.tensors();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (used[i] != 0) continue;
    const std::string_view name = tensors[i].name;
    (takes_part(name, config, names) ? wanted : idle).push_back(name);
  }
  if (!wanted.empty()) {
    const bool biases =
        wanted.front().find(".self_attn.") != std::string_view::npos && wanted.front().ends_with(".bias");
    return fail(ErrorCode::mismatch,
                "{}: {} would change the results, but {} has no use for {}{}; {} does not fit these "
                "weights, or they are of another kind of model",
                store.place().string(), listed(wanted), config.architecture,
                wanted.size() == 1 ? "it" : "them", biases ? " as config.json says nothing of biases" : "",
                store.described_by());
  }
  if (idle.empty()) return std::string{};
  return fmt::format("{}: {} of {} tensors {} not used: {}.", store.place().string(), idle.size(),
                     tensors.size(), idle.size() == 1 ? "is" : "are", listed(idle));
}

}  // namespace expertscope
