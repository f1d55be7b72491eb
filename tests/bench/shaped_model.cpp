// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/shaped_model.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <new>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/half.h"

namespace expertscope::bench {

using testing::ModelShape;

namespace {

/// Elements between the offsets a slice may have: rows stay aligned to a cache line.
constexpr std::int64_t kGrain = 64;

ModelShape base_config() {
  ModelShape c;
  c.head_dim = 128;
  c.hidden_size = 2048;
  c.intermediate_size = 6144;
  c.max_position_embeddings = 40960;
  c.rope_theta = 1000000.0;
  c.num_experts_per_tok = 8;
  c.norm_topk_prob = true;
  c.qk_norm = AttentionSpec::QkNorm::head;
  return c;
}

ModelShape qwen3_30b_a3b() {
  ModelShape c = base_config();
  c.vocab_size = 151936;
  c.num_hidden_layers = 48;
  c.num_attention_heads = 32;
  c.num_key_value_heads = 4;
  c.num_experts = 128;
  c.moe_intermediate_size = 768;
  return c;
}

ModelShape olmoe_1b_7b() {
  ModelShape c = base_config();
  c.vocab_size = 50304;
  c.num_hidden_layers = 16;
  c.num_attention_heads = 16;
  c.num_key_value_heads = 16;
  c.intermediate_size = 1024;
  c.max_position_embeddings = 4096;
  c.rope_theta = 10000.0;
  c.num_experts = 64;
  c.moe_intermediate_size = 1024;
  c.norm_topk_prob = false;
  return c;
}

ModelShape tiny() {
  ModelShape c = base_config();
  c.vocab_size = 97;
  c.hidden_size = 64;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 16;
  c.intermediate_size = 96;
  c.max_position_embeddings = 512;
  c.num_experts = 8;
  c.num_experts_per_tok = 2;
  c.moe_intermediate_size = 32;
  return c;
}

nlohmann::json config_json(const ModelShape& c) {
  return {{"architectures", {c.architecture}},
          {"model_type", c.model_type},
          {"vocab_size", c.vocab_size},
          {"hidden_size", c.hidden_size},
          {"num_hidden_layers", c.num_hidden_layers},
          {"num_attention_heads", c.num_attention_heads},
          {"num_key_value_heads", c.num_key_value_heads},
          {"head_dim", c.head_dim},
          {"intermediate_size", c.intermediate_size},
          {"moe_intermediate_size", c.moe_intermediate_size},
          {"max_position_embeddings", c.max_position_embeddings},
          {"num_experts", c.num_experts},
          {"num_experts_per_tok", c.num_experts_per_tok},
          {"norm_topk_prob", c.norm_topk_prob},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", c.rope_theta},
          {"attention_bias", c.attention_bias},
          {"decoder_sparse_step", 1},
          {"mlp_only_layers", nlohmann::json::array()},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", false}};
}

}  // namespace

Result<ModelShape> shape_named(const std::string& name) {
  ModelShape config;
  if (name == "qwen3-30b-a3b") {
    config = qwen3_30b_a3b();
  } else if (name == "olmoe-1b-7b") {
    config = olmoe_1b_7b();
  } else if (name == "tiny") {
    config = tiny();
  } else {
    return fail(ErrorCode::invalid_argument, "no shape \"{}\": there are qwen3-30b-a3b, olmoe-1b-7b and tiny",
                name);
  }
  return config;
}

/// The buffers, one a scale, and which slice each tensor is.
struct ShapedModel::Pools {
  struct Pool {
    float scale = 0;
    std::vector<std::uint16_t> values;  ///< BF16
  };
  struct Slice {
    std::string name;
    std::size_t pool;
    std::int64_t offset;
    std::int64_t rows;
    std::int64_t cols;
  };

  /// The slice of `rows` x `cols` uniform numbers of variance gain^2 / fan_in.
  Matrix take(const std::string& name, std::int64_t rows, std::int64_t cols, double gain, double fan_in);
  void fill(Pool& pool);
  std::uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }

  std::uint64_t state = 1;
  std::int64_t elements = 0;  ///< of a pool at least
  std::vector<Pool> pools;
  std::vector<Slice> slices;
};

void ShapedModel::Pools::fill(Pool& pool) {
  for (std::size_t i = 0; i < pool.values.size(); i += 4) {
    const std::uint64_t bits = next();
    for (std::size_t j = 0; j < std::min<std::size_t>(4, pool.values.size() - i); ++j) {
      const auto random = static_cast<float>(static_cast<std::uint16_t>(bits >> (16 * j)));
      pool.values[i + j] = f32_to_bf16(pool.scale * (random * (2.0f / 65535.0f) - 1.0f));
    }
  }
}

Matrix ShapedModel::Pools::take(const std::string& name, std::int64_t rows, std::int64_t cols, double gain,
                                double fan_in) {
  const auto scale = static_cast<float>(gain * std::sqrt(3.0 / fan_in));
  const std::int64_t count = rows * cols;
  std::size_t index = 0;
  while (index < pools.size() &&
         (pools[index].scale != scale || static_cast<std::int64_t>(pools[index].values.size()) < count))
    ++index;
  if (index == pools.size()) {
    pools.push_back({scale, std::vector<std::uint16_t>(static_cast<std::size_t>(std::max(elements, count)))});
    fill(pools.back());
  }
  const auto room = static_cast<std::int64_t>(pools[index].values.size()) - count;
  const std::int64_t offset =
      static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(room / kGrain + 1)) * kGrain;
  slices.push_back({name, index, offset, rows, cols});
  return {pools[index].values.data() + offset, &weight_format(FormatId::bf16), rows, cols};
}

namespace {

Vector ones(int size) {
  return Vector(static_cast<std::size_t>(size), 1.0f);
}

/// What enters the residual stream is scaled down by the number of layers, as GPT-2 does, so that it stays
/// near 1 to the end.
template <class Pools>
LayerWeights make_layer(Pools& pools, const ModelShape& c, int n) {
  const std::string layer = fmt::format("model.layers.{}.", n);
  const double residual = 1.0 / std::sqrt(2.0 * c.num_hidden_layers);
  const std::int64_t hidden = c.hidden_size;
  const std::int64_t queries = std::int64_t{c.num_attention_heads} * c.head_dim;
  const std::int64_t keys = std::int64_t{c.num_key_value_heads} * c.head_dim;
  const auto by_hidden = static_cast<double>(hidden);
  LayerWeights w;
  w.input_layernorm = ones(c.hidden_size);
  w.post_attention_layernorm = ones(c.hidden_size);
  w.q_norm = ones(c.head_dim);
  w.k_norm = ones(c.head_dim);
  w.q_proj = pools.take(layer + "self_attn.q_proj.weight", queries, hidden, 1, by_hidden);
  w.k_proj = pools.take(layer + "self_attn.k_proj.weight", keys, hidden, 1, by_hidden);
  w.v_proj = pools.take(layer + "self_attn.v_proj.weight", keys, hidden, 1, by_hidden);
  w.o_proj =
      pools.take(layer + "self_attn.o_proj.weight", hidden, queries, residual, static_cast<double>(queries));
  w.router = pools.take(layer + "mlp.gate.weight", c.num_experts, hidden, 2, by_hidden);
  for (int e = 0; e < c.num_experts; ++e) {
    const std::string expert = fmt::format("{}mlp.experts.{}.", layer, e);
    const std::int64_t inner = c.moe_intermediate_size;
    MlpWeights mlp;
    mlp.gate_proj = pools.take(expert + "gate_proj.weight", inner, hidden, 1, by_hidden);
    mlp.up_proj = pools.take(expert + "up_proj.weight", inner, hidden, 1, by_hidden);
    mlp.down_proj =
        pools.take(expert + "down_proj.weight", hidden, inner, 3 * residual, static_cast<double>(inner));
    w.experts.push_back(mlp);
  }
  return w;
}

}  // namespace

Result<ShapedModel> ShapedModel::make(const ModelShape& config, std::size_t pool_bytes, std::uint64_t seed) {
  auto pools = std::make_shared<Pools>();
  pools->state = seed * 2 + 1;
  pools->elements = static_cast<std::int64_t>(pool_bytes / 2);
  ShapedModel shaped;
  try {
    Weights weights;
    weights.embed_tokens =
        pools->take("model.embed_tokens.weight", config.vocab_size, config.hidden_size, 1, 1);
    for (int n = 0; n < config.num_hidden_layers; ++n)
      weights.layers.push_back(make_layer(*pools, config, n));
    weights.norm = ones(config.hidden_size);
    weights.lm_head =
        pools->take("lm_head.weight", config.vocab_size, config.hidden_size, 3, config.hidden_size);
    shaped.shape_ = config;
    shaped.model_ = Model::from_memory(config, std::move(weights), pools);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "no memory for the random weights");
  }
  shaped.pools_ = std::move(pools);
  return shaped;
}

Status ShapedModel::write(const std::filesystem::path& folder) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  nlohmann::json tensors;
  for (const Pools::Slice& slice : pools_->slices)
    tensors[slice.name] = {slice.pool, slice.offset, slice.rows, slice.cols};
  nlohmann::json files;
  for (std::size_t i = 0; i < pools_->pools.size(); ++i) {
    const std::string name = fmt::format("pool{}.bf16", i);
    const auto& values = pools_->pools[i].values;
    std::ofstream out(folder / name, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(values[0])));
    if (!out.flush()) return fail(ErrorCode::io, "{}: cannot be written", (folder / name).string());
    files.push_back(name);
  }
  const nlohmann::json description = {
      {"config", config_json(shape_)}, {"files", files}, {"tensors", tensors}};
  std::ofstream out(folder / "shaped.json");
  out << description.dump() << '\n';
  if (!out.flush()) return fail(ErrorCode::io, "{}: cannot be written", (folder / "shaped.json").string());
  return {};
}

}  // namespace expertscope::bench
