// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/random_model.h"

#include <cmath>
#include <cstring>
#include <new>
#include <vector>

namespace expertscope::testing {
namespace {

/// All matrices behind each other in one allocation, filled from an xorshift generator.
class WeightFactory {
 public:
  WeightFactory(DType dtype, std::uint64_t seed, std::size_t elements) : dtype_(dtype), state_(seed * 2 + 1) {
    storage_.reset(new (std::nothrow) std::uint8_t[elements * dtype_size(dtype)]);
  }

  bool ok() const { return storage_ != nullptr; }
  std::shared_ptr<const void> storage() const { return storage_; }

  /// Uniform with variance gain^2 / cols, so that a product keeps the scale of its input.
  Matrix matrix(std::int64_t rows, std::int64_t cols, float gain = 1.0f) {
    Matrix m{storage_.get() + used_, dtype_, rows, cols};
    fill(storage_.get() + used_, rows * cols, gain * std::sqrt(3.0f / static_cast<float>(cols)));
    used_ += static_cast<std::size_t>(rows * cols) * dtype_size(dtype_);
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
    for (std::int64_t i = 0; i < count; i += 4) {
      const std::uint64_t bits = next();
      for (std::int64_t j = 0; j < std::min<std::int64_t>(4, count - i); ++j) {
        const float value = scale * uniform(static_cast<std::uint16_t>(bits >> (16 * j)));
        if (dtype_ == DType::f32) {
          std::memcpy(to + (i + j) * 4, &value, 4);
        } else {
          const std::uint16_t half = dtype_ == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value);
          std::memcpy(to + (i + j) * 2, &half, 2);
        }
      }
    }
  }

  DType dtype_;
  std::uint64_t state_;
  std::shared_ptr<std::uint8_t[]> storage_;
  std::size_t used_ = 0;
};

std::int64_t attention_elements(const ModelConfig& c) {
  const std::int64_t heads = c.num_attention_heads + c.num_key_value_heads;
  return 2 * heads * c.head_dim * std::int64_t{c.hidden_size};
}

std::int64_t mlp_elements(const ModelConfig& c, std::int64_t inner) {
  return 3 * inner * c.hidden_size;
}

std::size_t all_elements(const ModelConfig& c) {
  std::int64_t sum = 2 * std::int64_t{c.vocab_size} * c.hidden_size;
  for (int n = 0; n < c.num_hidden_layers; ++n) {
    sum += attention_elements(c);
    sum += c.is_moe(n) ? c.num_experts * (mlp_elements(c, c.moe_intermediate_size) + c.hidden_size)
                       : mlp_elements(c, c.intermediate_size);
  }
  return static_cast<std::size_t>(sum);
}

/// Weight elements that one token meets in the layers.
std::int64_t active_elements(const ModelConfig& c) {
  std::int64_t sum = 0;
  for (int n = 0; n < c.num_hidden_layers; ++n) {
    sum += attention_elements(c);
    sum += c.is_moe(n) ? c.num_experts_per_tok * mlp_elements(c, c.moe_intermediate_size) +
                             std::int64_t{c.num_experts} * c.hidden_size
                       : mlp_elements(c, c.intermediate_size);
  }
  return sum;
}

LayerWeights random_layer(WeightFactory& make, const ModelConfig& c, bool moe) {
  const std::int64_t hidden = c.hidden_size;
  const std::int64_t queries = std::int64_t{c.num_attention_heads} * c.head_dim;
  const std::int64_t keys = std::int64_t{c.num_key_value_heads} * c.head_dim;
  LayerWeights layer;
  layer.input_layernorm = make.vector(hidden);
  layer.post_attention_layernorm = make.vector(hidden);
  layer.q_proj = make.matrix(queries, hidden);
  layer.k_proj = make.matrix(keys, hidden);
  layer.v_proj = make.matrix(keys, hidden);
  layer.o_proj = make.matrix(hidden, queries);
  if (c.qk_norm) {
    layer.q_norm = make.vector(c.head_dim);
    layer.k_norm = make.vector(c.head_dim);
  }
  if (!moe) {
    layer.mlp = make.mlp(hidden, c.intermediate_size);
    return layer;
  }
  layer.router = make.matrix(c.num_experts, hidden, 2.0f);
  for (int e = 0; e < c.num_experts; ++e)
    layer.experts.push_back(make.mlp(hidden, c.moe_intermediate_size));
  return layer;
}

}  // namespace

ModelConfig tiny_config() {
  ModelConfig c;
  c.architecture = "Qwen3MoeForCausalLM";
  c.model_type = "qwen3_moe";
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
  c.qk_norm = true;
  c.moe_layer = {1, 1};
  return c;
}

ModelConfig olmoe_eighth_config() {
  ModelConfig c = tiny_config();
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

std::shared_ptr<const Model> random_model(const ModelConfig& config, DType dtype, std::uint64_t seed) {
  WeightFactory make(dtype, seed, all_elements(config));
  if (!make.ok()) return nullptr;
  Weights weights;
  weights.embed_tokens =
      make.matrix(config.vocab_size, config.hidden_size, std::sqrt(static_cast<float>(config.hidden_size)));
  for (int n = 0; n < config.num_hidden_layers; ++n) {
    weights.layers.push_back(random_layer(make, config, config.is_moe(n)));
  }
  weights.norm = make.vector(config.hidden_size);
  weights.lm_head = make.matrix(config.vocab_size, config.hidden_size, 2.0f);
  return Model::from_memory(config, std::move(weights), make.storage());
}

std::int64_t bytes_per_token(const Model& model) {
  const ModelConfig& c = model.config();
  const auto element = static_cast<std::int64_t>(dtype_size(model.weights().lm_head.dtype));
  return element * (active_elements(c) + std::int64_t{c.vocab_size} * c.hidden_size);
}

std::int64_t flops_per_token(const Model& model) {
  return 2 * active_elements(model.config());
}

}  // namespace expertscope::testing
