// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/random_model.h"

#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "tests/support/stored_weights.h"

namespace expertscope::testing {
namespace {

/// All matrices behind each other in one allocation, filled from an xorshift generator.
class WeightFactory {
 public:
  WeightFactory(FormatId format, std::uint64_t seed, std::size_t elements)
      : format_(weight_format(format)), state_(seed * 2 + 1) {
    storage_.reset(new (std::nothrow) std::uint8_t[stored_bytes(elements, format)]);
  }

  bool ok() const { return storage_ != nullptr; }
  std::shared_ptr<const void> storage() const { return storage_; }

  /// Uniform with variance gain^2 / cols, so that a product keeps the scale of its input.
  Matrix matrix(std::int64_t rows, std::int64_t cols, float gain = 1.0f) {
    const Matrix m{storage_.get() + used_, &format_, rows, cols};
    fill(storage_.get() + used_, rows * cols, gain * std::sqrt(3.0f / static_cast<float>(cols)));
    used_ += stored_bytes(static_cast<std::size_t>(rows * cols), format_.id);
    return m;
  }

  Vector vector(std::int64_t size) {
    Vector values(static_cast<std::size_t>(size));
    for (float& value : values)
      value = 1.0f + 0.2f * uniform(static_cast<std::uint16_t>(next()));
    return values;
  }

  MlpWeights mlp(std::int64_t hidden, std::int64_t inner) {
    MlpWeights weights;
    weights.gate_proj = matrix(inner, hidden, 1.5f);
    weights.up_proj = matrix(inner, hidden, 1.5f);
    weights.down_proj = matrix(hidden, inner);
    return weights;
  }

 private:
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  static float uniform(std::uint16_t bits) { return static_cast<float>(bits) * (2.0f / 65535.0f) - 1.0f; }

  void fill(std::uint8_t* to, std::int64_t count, float scale) {
    float values[1024];
    for (std::int64_t begin = 0; begin < count; begin += std::ssize(values)) {
      const std::int64_t some = std::min(std::ssize(values), count - begin);
      for (std::int64_t i = 0; i < some; i += 4) {
        const std::uint64_t bits = next();
        for (std::int64_t j = 0; j < std::min<std::int64_t>(4, some - i); ++j)
          values[i + j] = scale * uniform(static_cast<std::uint16_t>(bits >> (16 * j)));
      }
      store_values(values, static_cast<std::size_t>(some), format_.id,
                   to + stored_bytes(static_cast<std::size_t>(begin), format_.id));
    }
  }

  const WeightFormat& format_;
  std::uint64_t state_;
  std::shared_ptr<std::uint8_t[]> storage_;
  std::size_t used_ = 0;
};

std::int64_t attention_elements(const ModelConfig& c, const LayerSpec& layer) {
  return 2 * std::int64_t{layer.attention.query_width() + layer.attention.key_width()} * c.hidden_size;
}

std::int64_t mlp_elements(const ModelConfig& c, const MlpSpec& mlp) {
  return std::int64_t{3} * mlp.width * c.hidden_size;
}

std::size_t all_elements(const ModelConfig& c) {
  std::int64_t sum = 2 * std::int64_t{c.vocab_size} * c.hidden_size;
  for (const LayerSpec& layer : c.layers) {
    sum += attention_elements(c, layer) + mlp_elements(c, layer.dense) + mlp_elements(c, layer.shared) +
           c.hidden_size;
    sum += layer.router.experts * (mlp_elements(c, layer.expert) + c.hidden_size);
  }
  return static_cast<std::size_t>(sum);
}

/// Weight elements that one token meets in the layers.
std::int64_t active_elements(const ModelConfig& c) {
  std::int64_t sum = 0;
  for (const LayerSpec& layer : c.layers) {
    sum += attention_elements(c, layer) + mlp_elements(c, layer.dense);
    sum += layer.router.top_k * mlp_elements(c, layer.expert) +
           std::int64_t{layer.router.experts} * c.hidden_size;
  }
  return sum;
}

LayerWeights random_layer(WeightFactory& make, const ModelConfig& c, const LayerSpec& spec) {
  const std::int64_t hidden = c.hidden_size;
  const std::int64_t queries = spec.attention.query_width();
  const std::int64_t keys = spec.attention.key_width();
  LayerWeights layer;
  layer.input_layernorm = make.vector(hidden);
  layer.post_attention_layernorm = make.vector(hidden);
  layer.q_proj = make.matrix(queries, hidden);
  layer.k_proj = make.matrix(keys, hidden);
  layer.v_proj = make.matrix(keys, hidden);
  layer.o_proj = make.matrix(hidden, queries);
  if (spec.attention.qk_norm != AttentionSpec::QkNorm::none) {
    const bool head = spec.attention.qk_norm == AttentionSpec::QkNorm::head;
    layer.q_norm = make.vector(head ? spec.attention.head_dim : queries);
    layer.k_norm = make.vector(head ? spec.attention.head_dim : keys);
  }
  if (spec.dense.width > 0) layer.mlp = make.mlp(hidden, spec.dense.width);
  if (spec.shared.width > 0) layer.shared = make.mlp(hidden, spec.shared.width);
  if (spec.shared_gate) layer.shared_gate = make.matrix(1, hidden, 2.0f);
  if (!spec.is_moe()) return layer;
  layer.router = make.matrix(spec.router.experts, hidden, 2.0f);
  if (spec.router.correction_bias) layer.correction_bias = make.vector(spec.router.experts);
  for (int e = 0; e < spec.router.experts; ++e)
    layer.experts.push_back(make.mlp(hidden, spec.expert.width));
  return layer;
}

}  // namespace

ModelShape tiny_config() {
  ModelShape c;
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
  c.norm_topk_prob = true;
  c.qk_norm = AttentionSpec::QkNorm::head;
  c.moe_layer = {1, 1};
  return c;
}

ModelShape olmoe_eighth_config() {
  ModelShape c = tiny_config();
  c.vocab_size = 50304 / 8;
  c.hidden_size = 2048;
  c.num_attention_heads = 16;
  c.num_key_value_heads = 16;
  c.head_dim = 128;
  c.intermediate_size = 1024;
  c.max_position_embeddings = 4096;
  c.num_experts = 64;
  c.num_experts_per_tok = 8;
  c.moe_intermediate_size = 1024;
  c.norm_topk_prob = false;
  return c;
}

std::shared_ptr<const Model> random_model(const ModelConfig& config, FormatId format, std::uint64_t seed) {
  WeightFactory make(format, seed, all_elements(config));
  if (!make.ok()) return nullptr;
  Weights weights;
  weights.embed_tokens =
      make.matrix(config.vocab_size, config.hidden_size, std::sqrt(static_cast<float>(config.hidden_size)));
  for (const LayerSpec& layer : config.layers)
    weights.layers.push_back(random_layer(make, config, layer));
  weights.norm = make.vector(config.hidden_size);
  weights.lm_head = make.matrix(config.vocab_size, config.hidden_size, 2.0f);
  return Model::from_memory(config, std::move(weights), make.storage());
}

std::int64_t bytes_per_token(const Model& model) {
  const ModelConfig& c = model.config();
  const std::int64_t elements = active_elements(c) + std::int64_t{c.vocab_size} * c.hidden_size;
  return static_cast<std::int64_t>(model.weights().lm_head.format->row_bytes(elements));
}

std::int64_t flops_per_token(const Model& model) {
  return 2 * active_elements(model.config());
}

}  // namespace expertscope::testing
