// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace expertscope {
namespace {

/// "index 7", "indices 7, 8 and 3 more": the first of many numbers.
std::string counted(const char* one, const char* many, const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t kShown = 3;
  if (numbers.size() == 1) return fmt::format("{} {}", one, numbers.front());
  const auto end = numbers.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, numbers.size()));
  const auto shown = fmt::format("{} {}", many, fmt::join(numbers.begin(), end, ", "));
  return numbers.size() <= kShown ? shown : fmt::format("{} and {} more", shown, numbers.size() - kShown);
}

constexpr double kMostFactor = 1e6;
constexpr std::int64_t kMostLatentWidth = 1 << 24;  // of all heads: products of it and a byte size fit

/// mscale of YaRN: 0.1 * scale * ln(factor) + 1 (get_mscale in modeling_rope_utils.py).
double yarn_magnitude(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

void read_yarn(ConfigKeys& keys, const ModelConfig& config, RotarySpec& rotary) {
  keys.ignore({"finetuned"});
  rotary.beta_fast = keys.number({"beta_fast"}, 32.0, 1e-6, 1e9);
  rotary.beta_slow = keys.number({"beta_slow"}, 1.0, 1e-6, 1e9);
  rotary.truncate = keys.flag({"truncate"}, true);
  const double all = keys.number({"mscale_all_dim"}, 0.0, 0.0, 1e3);
  const double one = keys.number({"mscale"}, 0.0, 0.0, 1e3);
  // Where the file names the trained length, transformers takes the factor from the two lengths only when the
  // file has none.
  rotary.factor =
      keys.number({"factor"}, config.max_position_embeddings / rotary.trained_positions, 1.0, kMostFactor);
  const double usual = one != 0 && all != 0
                           ? yarn_magnitude(rotary.factor, one) / yarn_magnitude(rotary.factor, all)
                           : yarn_magnitude(rotary.factor, 1.0);
  rotary.magnitude = keys.number({"attention_factor"}, usual, 1e-6, 1e6);
  if (all != 0) rotary.latent_magnitude = yarn_magnitude(rotary.factor, all);
}

void read_scaling(ConfigKeys& keys, const ModelConfig& config, RotarySpec& rotary) {
  const std::string type = keys.text({"rope_type", "type"}, "default");
  const char* key = keys.present({"rope_type", "type"});
  rotary.trained_positions = keys.number({"original_max_position_embeddings"}, config.max_position_embeddings,
                                         1.0, ConfigKeys::kMaxInt32);
  if (type == "default") return;
  if (type == "yarn") {
    rotary.scaling = RotaryScaling::yarn;
    read_yarn(keys, config, rotary);
    return;
  }
  if (type == "linear") {
    rotary.scaling = RotaryScaling::linear;
  } else if (type == "dynamic") {
    rotary.scaling = RotaryScaling::dynamic;
    rotary.trained_positions = config.max_position_embeddings;
  } else if (type == "llama3") {
    rotary.scaling = RotaryScaling::llama3;
    rotary.low_frequency = keys.number({"low_freq_factor"}, 1.0, 1e-6, 1e6);
    rotary.high_frequency = keys.number({"high_freq_factor"}, 4.0, 1e-6, 1e6);
    if (!(rotary.high_frequency > rotary.low_frequency))
      keys.refuse(ErrorCode::mismatch, "high_freq_factor", "it is not above low_freq_factor");
  } else {
    keys.refuse(
        ErrorCode::unsupported, key,
        fmt::format("\"{}\" is not supported, only default, linear, dynamic, yarn and llama3 are", type));
  }
  if (!keys.has({"factor"})) keys.refuse(ErrorCode::format, "factor", "this field is missing");
  rotary.factor = keys.number({"factor"}, 1.0, 1.0, kMostFactor);
}

/// One of rope_parameters and rope_scaling. transformers reads only what it knows of it; here the rest
/// refuses.
Status read_rope_object(const JsonFields& fields, ConfigKeys::Aliases aliases, const ModelConfig& config,
                        double& partial, RotarySpec& rotary) {
  ConfigKeys keys(fields, aliases);
  rotary.theta = keys.number({"rope_theta"}, rotary.theta, 1.0, 1e30);
  partial = keys.number({"partial_rotary_factor"}, partial, 0.0, 1.0);
  // Of images: a token of text is at the same place on every axis.
  keys.ignore({"mrope_section", "mrope_interleaved"});
  read_scaling(keys, config, rotary);
  return keys.finish();
}

}  // namespace

RotarySpec read_rotary(ConfigKeys& keys, const ConfigDefaults& defaults, const ModelConfig& config,
                       int head_dim) {
  RotarySpec rotary;
  rotary.theta = keys.number({"rope_theta"}, defaults.rope_theta, 1.0, 1e30);
  rotary.trained_positions = config.max_position_embeddings;
  double partial = keys.number({"partial_rotary_factor"}, defaults.partial_rotary_factor, 0.0, 1.0);
  // rope_scaling comes last: transformers lets it win over rope_parameters.
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto fields = keys.object(key);
    if (!fields) continue;
    if (const auto ok = read_rope_object(*fields, keys.aliases(), config, partial, rotary); !ok)
      keys.fail(ok);
  }
  rotary.width = static_cast<int>(head_dim * partial);
  if (rotary.width % 2 != 0)
    keys.refuse(ErrorCode::mismatch, "head_dim",
                fmt::format("{} is not an even number, which rotary embeddings need", rotary.width));
  return rotary;
}

void read_latent_attention(ConfigKeys& keys, const LatentDefaults& silent, const ConfigDefaults& defaults,
                           ModelConfig& config) {
  AttentionSpec attention;
  LatentSpec& latent = attention.latent;
  const auto size = [&](ConfigKeys::Names names, int fallback) {
    return keys.size_or(names, fallback, ConfigKeys::kMaxWidth);
  };
  attention.heads = keys.size({"num_attention_heads"}, ConfigKeys::kMaxHeads);
  attention.kv_heads = 1;
  latent.rank = size({"kv_lora_rank"}, silent.rank);
  latent.nope_dim = size({"qk_nope_head_dim"}, silent.nope_dim);
  latent.value_dim = size({"v_head_dim"}, silent.value_dim);
  const int turning = size({"qk_rope_head_dim"}, silent.rope_dim);
  // Null is no latent of queries, and absent the class's own.
  const Json& json = keys.fields().json();
  const auto q_rank = json.find("q_lora_rank");
  const bool none = q_rank != json.end() && q_rank->is_null();
  latent.q_rank = size({"q_lora_rank"}, silent.q_rank);
  if (none) latent.q_rank = 0;
  keys.only("num_key_value_heads", {attention.heads}, "only as many as num_attention_heads are");
  // What transformers computes from the others and writes beside them.
  keys.only("head_dim", {turning}, "only qk_rope_head_dim is");
  keys.only("qk_head_dim", {latent.nope_dim + turning}, "only qk_nope_head_dim + qk_rope_head_dim is");
  attention.rotary = read_rotary(keys, defaults, config, turning);
  attention.rotary.interleaved = true;
  if (attention.rotary.width != turning)
    keys.refuse(ErrorCode::unsupported, "partial_rotary_factor", "only 1 is supported");
  const std::int64_t widest = std::max(latent.rank, latent.nope_dim) + turning + latent.value_dim;
  if (attention.heads * widest > kMostLatentWidth)
    keys.refuse(
        ErrorCode::unsupported, "num_attention_heads",
        fmt::format("{} heads of {} elements are more than {}", attention.heads, widest, kMostLatentWidth));
  attention.head_dim = attention.rotary.width + latent.rank;
  const double magnitude = attention.rotary.latent_magnitude;
  attention.scale = static_cast<float>(magnitude * magnitude / std::sqrt(latent.nope_dim + turning));
  attention.qkv_bias = attention.output_bias = keys.flag({"attention_bias"}, false);
  for (LayerSpec& layer : config.layers)
    layer.attention = attention;
}

void read_interleaved(ConfigKeys& keys, ModelConfig& config) {
  const bool interleaved = keys.flag({"rope_interleave"}, true);
  for (LayerSpec& layer : config.layers)
    layer.attention.rotary.interleaved = interleaved;
}

void read_decoder(ConfigKeys& keys, const ConfigDefaults& defaults, ModelConfig& config) {
  keys.ignore_usual();
  config.vocab_size = keys.size({"vocab_size"}, ConfigKeys::kMaxVocabulary);
  config.hidden_size = keys.size({"hidden_size"}, ConfigKeys::kMaxWidth);
  config.max_position_embeddings =
      keys.size_or({"max_position_embeddings"}, defaults.max_position_embeddings, ConfigKeys::kMaxInt32);
  config.tie_word_embeddings = keys.flag({"tie_word_embeddings"}, defaults.tie_word_embeddings);
  config.norm.eps = static_cast<float>(keys.number({"rms_norm_eps"}, defaults.rms_norm_eps, 0.0, 1.0));
  keys.only("hidden_act", {"silu", "swish"}, "only \"silu\" is");
  keys.only("pretraining_tp", {1});
  LayerSpec layer;
  layer.norm = config.norm;
  config.layers.assign(static_cast<std::size_t>(keys.size({"num_hidden_layers"}, ConfigKeys::kMaxLayers)),
                       layer);
}

void read_text_part(ConfigKeys& keys, void (*read)(ConfigKeys&, ModelConfig&, std::vector<std::string>&),
                    ModelConfig& config, std::vector<std::string>& warnings) {
  const auto fields = keys.object("text_config");
  if (!fields) return keys.refuse(ErrorCode::format, "text_config", "this field is missing");
  ConfigKeys text(*fields, keys.aliases());
  read(text, config, warnings);
  keys.fail(text.finish());
  if (const auto ok = read_token_ids(*fields, config); !ok) keys.fail(ok);
  warnings.push_back(fmt::format(
      "{}: the model is read as its text part; images, sound and video are left out.", keys.fields().file()));
}

void read_attention(ConfigKeys& keys, const ConfigDefaults& defaults, ModelConfig& config) {
  AttentionSpec attention;
  attention.heads = keys.size({"num_attention_heads"}, ConfigKeys::kMaxHeads);
  const int kv_heads = defaults.kv_heads > 0 ? defaults.kv_heads : attention.heads;
  const int share = std::max(1, config.hidden_size / attention.heads);
  attention.kv_heads = keys.size_or({"num_key_value_heads"}, kv_heads, ConfigKeys::kMaxHeads);
  attention.head_dim =
      keys.size_or({"head_dim"}, defaults.head_dim > 0 ? defaults.head_dim : share, ConfigKeys::kMaxWidth);
  if (attention.heads % attention.kv_heads != 0)
    keys.refuse(
        ErrorCode::mismatch, "num_key_value_heads",
        fmt::format("{} does not divide num_attention_heads {}", attention.kv_heads, attention.heads));
  attention.rotary = read_rotary(keys, defaults, config, attention.head_dim);
  for (LayerSpec& layer : config.layers)
    layer.attention = attention;
}

namespace {

/// In the order of the file, each id once.
std::vector<std::int32_t> distinct(const std::vector<std::int64_t>& ids) {
  std::set<std::int64_t> seen = {-1};  // some files write -1 for "none"
  std::vector<std::int32_t> kept;
  for (const auto id : ids)
    if (seen.insert(id).second) kept.push_back(static_cast<std::int32_t>(id));
  return kept;
}

}  // namespace

Status read_token_ids(const JsonFields& fields, ModelConfig& config) {
  constexpr std::size_t kMost = 1024;  // every token is compared with all of them
  const auto bos = fields.integer_or("bos_token_id", config.bos_token_id, -1, ConfigKeys::kMaxInt32);
  if (!bos) return forward_error(bos);
  const auto eos = fields.integers_or_one("eos_token_id", -1, ConfigKeys::kMaxInt32);
  if (!eos) return forward_error(eos);
  auto ids = distinct(*eos);
  if (ids.size() > kMost)
    return fields.error(
        ErrorCode::format, "eos_token_id",
        fmt::format("{} ids end a text, more than the {} that are allowed", ids.size(), kMost));
  config.bos_token_id = static_cast<std::int32_t>(*bos);
  if (!eos->empty()) config.eos_token_ids = std::move(ids);
  return {};
}

RouterSpec read_sigmoid_router(ConfigKeys& keys, const RouterSpec& silent) {
  const auto size = [&](ConfigKeys::Names names, int fallback) {
    return fallback > 0 ? keys.size_or(names, fallback, ConfigKeys::kMaxExperts)
                        : keys.size(names, ConfigKeys::kMaxExperts);
  };
  RouterSpec router;
  router.experts = size({"n_routed_experts", "num_local_experts"}, silent.experts);
  router.top_k = size({"num_experts_per_tok"}, silent.top_k);
  router.score = RouterSpec::Score::sigmoid;
  router.correction_bias = true;
  router.groups = size({"n_group"}, silent.groups);
  router.top_groups = size({"topk_group"}, silent.top_groups);
  router.group_rank = RouterSpec::GroupRank::sum_of_two;
  router.renormalise = keys.flag({"norm_topk_prob"}, silent.renormalise);
  router.renormalise_epsilon = 1e-20f;
  router.scale = static_cast<float>(keys.number({"routed_scaling_factor"}, silent.scale, 1e-6, 1e6));
  return router;
}

void set_router(ConfigKeys& keys, const RouterSpec& router, const MlpSpec& expert, LayerSpec& layer) {
  if (router.top_k > router.experts)
    keys.refuse(ErrorCode::mismatch, "num_experts_per_tok",
                fmt::format("{} experts per token, but only {} experts", router.top_k, router.experts));
  const bool groups =
      router.groups >= 1 && router.groups <= RouterSpec::kMaxGroups && router.experts % router.groups == 0;
  if (!groups) {
    keys.refuse(ErrorCode::unsupported, "n_group",
                fmt::format("{} groups of {} experts; supported: 1 to {} groups of one size", router.groups,
                            router.experts, RouterSpec::kMaxGroups));
  } else if (router.top_groups < 1 || router.top_groups > router.groups ||
             router.top_k > router.experts / router.groups * router.top_groups) {
    keys.refuse(ErrorCode::mismatch, "topk_group",
                fmt::format("{} experts per token do not fit {} of {} groups", router.top_k,
                            router.top_groups, router.groups));
  }
  layer.router = router;
  layer.expert = expert;
}

void set_dense(ConfigKeys& keys, const MlpSpec& dense, LayerSpec& layer) {
  if (dense.width == 0) keys.refuse(ErrorCode::format, "intermediate_size", "this field is missing");
  layer.dense = dense;
}

void set_moe_from(ConfigKeys& keys, int first, const MlpSpec& dense, const RouterSpec& router,
                  const MlpSpec& expert, int shared, ModelConfig& config) {
  for (int n = 0; n < config.num_layers(); ++n) {
    LayerSpec& layer = config.layers[n];
    if (n < first) set_dense(keys, dense, layer);
    if (n < first) continue;
    set_router(keys, router, expert, layer);
    layer.shared.width = shared * expert.width;
  }
}

std::vector<std::uint8_t> read_sparse_layers(ConfigKeys& keys, int layers,
                                             std::vector<std::string>& warnings) {
  const int step = keys.size_or({"decoder_sparse_step"}, 1, ConfigKeys::kMaxInt32);
  std::vector<std::uint8_t> sparse(static_cast<std::size_t>(layers));
  for (int n = 0; n < layers; ++n)
    sparse[n] = (n + 1) % step == 0;
  std::vector<std::int64_t> beyond;
  for (const std::int64_t layer : keys.integers({"mlp_only_layers"})) {
    const bool there = layer >= 0 && layer < layers;
    if (there) sparse[layer] = 0;
    if (!there) beyond.push_back(layer);
  }
  if (!beyond.empty())
    warnings.push_back(fmt::format("{}: mlp_only_layers: {} beyond the {} layers, ignored.",
                                   keys.fields().file(), counted("index", "indices", beyond), layers));
  return sparse;
}

std::vector<std::uint8_t> read_layer_types(ConfigKeys& keys, const char* kind, const char* other,
                                           const std::vector<std::uint8_t>& usual) {
  constexpr const char* kTypes = "layer_types";
  keys.only(kTypes, {kind, other});
  if (!keys.has({kTypes})) return usual;
  const Json& types = keys.fields().json()[kTypes];
  if (!types.is_array() || types.size() != usual.size()) {
    keys.refuse(ErrorCode::mismatch, kTypes, fmt::format("expected an array of {} layers", usual.size()));
    return usual;
  }
  std::vector<std::uint8_t> found;
  for (const Json& type : types)
    found.push_back(type == kind ? 1 : 0);
  return found;
}

void read_windows(ConfigKeys& keys, int silent, const std::vector<std::uint8_t>& usual, ModelConfig& config) {
  const Json& json = keys.fields().json();
  const auto length = json.find("sliding_window");
  const bool off = length != json.end() && length->is_null();
  const int window = keys.size_or({"sliding_window"}, silent, ConfigKeys::kMaxInt32);
  const std::vector<std::uint8_t> none(usual.size());
  const auto windowed = read_layer_types(keys, "sliding_attention", "full_attention", off ? none : usual);
  for (std::size_t n = 0; n < config.layers.size(); ++n) {
    if (windowed[n] == 0) continue;
    if (off) keys.refuse(ErrorCode::mismatch, "sliding_window", "null, but layer_types asks for one");
    config.layers[n].attention.window = window;
  }
}

void refuse_switched_window(ConfigKeys& keys) {
  keys.ignore({"sliding_window"});
  const Json& json = keys.fields().json();
  const auto length = json.find("sliding_window");
  const bool off = length != json.end() && length->is_null();
  if (keys.flag({"use_sliding_window"}, false) && !off)
    keys.refuse(ErrorCode::unsupported, "use_sliding_window", "sliding windows are not supported");
  keys.only("layer_types", {"full_attention"}, "only \"full_attention\" is");
}

}  // namespace expertscope
