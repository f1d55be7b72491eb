// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "engine/model/latent_weights.h"
#include "engine/model/layer_tensors.h"
#include "tests/support/stored_weights.h"

namespace expertscope::testing {
namespace {

/// What the views of a random model point into.
struct Storage {
  std::unique_ptr<std::uint8_t[]> bytes;
  AlignedCopies copies;
};

/// All matrices behind each other in one allocation, filled from an xorshift generator. Without memory it
/// only counts.
class WeightFactory {
 public:
  explicit WeightFactory(std::uint64_t seed, std::uint8_t* memory = nullptr)
      : memory_(memory), state_(seed * 2 + 1) {}

  std::size_t used() const { return used_; }

  /// Uniform with variance gain^2 / cols, so that a product keeps the scale of its input.
  Matrix matrix(std::int64_t rows, std::int64_t cols, FormatId id, float gain) {
    const WeightFormat& format = weight_format(id);
    Matrix m{take(static_cast<std::size_t>(rows) * format.row_bytes(cols)), &format, rows, cols};
    if (format.scales.rows > 0) {
      m.scales = take(static_cast<std::size_t>(rows / format.scales.rows) * m.scale_row_bytes());
      fill_mxfp4(m, gain / std::sqrt(static_cast<float>(cols)));
      return m;
    }
    if (memory_ != nullptr)
      fill(memory_ + used_ - stored_bytes(static_cast<std::size_t>(rows * cols), id), rows * cols, format,
           gain * std::sqrt(3.0f / static_cast<float>(cols)));
    return m;
  }

  /// About `mean`.
  Vector vector(std::int64_t size, float mean) {
    Vector values(static_cast<std::size_t>(size));
    for (float& value : values)
      value = mean + 0.2f * uniform(static_cast<std::uint16_t>(next()));
    return values;
  }

 private:
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  static float uniform(std::uint16_t bits) { return static_cast<float>(bits) * (2.0f / 65535.0f) - 1.0f; }

  const void* take(std::size_t bytes) {
    const std::size_t at = used_;
    used_ += bytes;
    return memory_ == nullptr ? nullptr : memory_ + at;
  }

  void fill(std::uint8_t* to, std::int64_t count, const WeightFormat& format, float scale) {
    float values[1024];
    for (std::int64_t begin = 0; begin < count; begin += std::ssize(values)) {
      const std::int64_t some = std::min(std::ssize(values), count - begin);
      for (std::int64_t i = 0; i < some; i += 4) {
        const std::uint64_t bits = next();
        for (std::int64_t j = 0; j < std::min<std::int64_t>(4, some - i); ++j)
          values[i + j] = scale * uniform(static_cast<std::uint16_t>(bits >> (16 * j)));
      }
      store_values(values, static_cast<std::size_t>(some), format.id,
                   to + stored_bytes(static_cast<std::size_t>(begin), format.id));
    }
  }

  /// Any bits, under scales that give about the deviation asked for: numbers of E2M1 deviate by about 2.9.
  void fill_mxfp4(const Matrix& m, float deviation) {
    if (memory_ == nullptr) return;
    auto* numbers = static_cast<std::uint8_t*>(const_cast<void*>(m.data));
    auto* scales = static_cast<std::uint8_t*>(const_cast<void*>(m.scales));
    const auto bytes = static_cast<std::size_t>(scales - numbers);
    for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
      const std::uint64_t bits = next();
      std::memcpy(numbers + i, &bits, sizeof bits);
    }
    std::fill(scales, memory_ + used_,
              static_cast<std::uint8_t>(127 + std::lround(std::log2(deviation / 2.9f))));
  }

  std::uint8_t* memory_;
  std::uint64_t state_;
  std::size_t used_ = 0;
};

/// Router and gates spread their logits, MLPs make up for what the activation takes.
float gain_of(const LayerTensor& tensor) {
  const bool decides = tensor.matrix == &LayerWeights::router || tensor.matrix == &LayerWeights::shared_gate;
  return decides ? 2.0f : 1.0f;
}

MlpWeights random_mlp(WeightFactory& make, const ModelConfig& c, const MlpSpec& spec, FormatId format) {
  MlpWeights mlp;
  for (const MlpTensor& tensor : mlp_tensors()) {
    const TensorSize size = tensor.size(spec, c.hidden_size);
    if (size.rows == 0) continue;
    const float gain = tensor.matrix == &MlpWeights::down_proj ? 1.0f : 1.5f;
    if (tensor.matrix != nullptr) mlp.*tensor.matrix = make.matrix(size.rows, size.cols, format, gain);
    if (tensor.vector != nullptr) mlp.*tensor.vector = make.vector(size.rows, 0.0f);
  }
  return mlp;
}

LayerWeights random_layer(WeightFactory& make, const ModelConfig& c, const LayerSpec& spec, FormatId format,
                          FormatId experts) {
  LayerWeights layer;
  for (const LayerTensor& tensor : layer_tensors()) {
    const TensorSize size = tensor.size(spec, c.hidden_size);
    if (size.rows == 0) continue;
    const float mean = tensor.end == ".bias" ? 0.0f : 1.0f;
    if (tensor.matrix != nullptr)
      layer.*tensor.matrix = make.matrix(size.rows, size.cols, format, gain_of(tensor));
    if (tensor.vector != nullptr)
      layer.*tensor.vector = make.vector(size.rows * std::max<std::int64_t>(1, size.cols), mean);
  }
  layer.mlp = random_mlp(make, c, spec.dense, format);
  layer.shared = random_mlp(make, c, spec.shared, format);
  for (int e = 0; e < spec.router.experts; ++e)
    layer.experts.push_back(random_mlp(make, c, spec.expert, experts));
  return layer;
}

Weights random_weights(WeightFactory& make, const ModelConfig& c, FormatId format, FormatId experts) {
  Weights weights;
  weights.embed_tokens =
      make.matrix(c.vocab_size, c.hidden_size, format, std::sqrt(static_cast<float>(c.hidden_size)));
  for (const LayerSpec& layer : c.layers)
    weights.layers.push_back(random_layer(make, c, layer, format, experts));
  weights.norm = make.vector(c.hidden_size, 1.0f);
  weights.lm_head = make.matrix(c.vocab_size, c.hidden_size, format, 2.0f);
  return weights;
}

/// fn(matrix, times) for every matrix that one token meets, and how often.
template <class Fn>
void for_active(const Model& model, Fn&& fn) {
  const auto of_mlp = [&](const MlpWeights& mlp, int times) {
    for (const MlpTensor& tensor : mlp_tensors())
      if (tensor.matrix != nullptr) fn(mlp.*tensor.matrix, times);
  };
  for (int n = 0; n < model.config().num_layers(); ++n) {
    const LayerWeights& layer = model.weights().layers[static_cast<std::size_t>(n)];
    for (const LayerTensor& tensor : layer_tensors())
      if (tensor.matrix != nullptr) fn(layer.*tensor.matrix, 1);
    of_mlp(layer.mlp, 1);
    of_mlp(layer.shared, 1);
    if (!layer.experts.empty()) of_mlp(layer.experts.front(), model.config().layer(n).router.top_k);
  }
}

std::int64_t bytes_of(const Matrix& matrix) {
  if (!matrix) return 0;
  const std::int64_t each = matrix.plane().rows;
  const std::int64_t scale_rows = each > 0 ? matrix.rows / each : 0;
  return matrix.rows * static_cast<std::int64_t>(matrix.row_bytes()) +
         scale_rows * static_cast<std::int64_t>(matrix.scale_row_bytes());
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

std::shared_ptr<const Model> random_model(const ModelConfig& config, FormatId format, std::uint64_t seed,
                                          std::optional<FormatId> experts) {
  const FormatId of_experts = experts.value_or(format);
  WeightFactory count(seed);
  random_weights(count, config, format, of_experts);
  auto storage = std::make_shared<Storage>();
  storage->bytes.reset(new (std::nothrow) std::uint8_t[count.used()]);
  if (storage->bytes == nullptr) return nullptr;
  WeightFactory make(seed, storage->bytes.get());
  Weights weights = random_weights(make, config, format, of_experts);
  for (int n = 0; n < config.num_layers(); ++n) {
    const AttentionSpec& attention = config.layer(n).attention;
    LayerWeights& layer = weights.layers[static_cast<std::size_t>(n)];
    if (attention.has_latent() && !split_latent(attention, "kv_b_proj", layer, storage->copies))
      return nullptr;
  }
  return Model::from_memory(config, std::move(weights), storage);
}

std::int64_t bytes_per_token(const Model& model) {
  std::int64_t sum = bytes_of(model.weights().lm_head);
  for_active(model, [&](const Matrix& matrix, int times) { sum += times * bytes_of(matrix); });
  return sum;
}

std::int64_t flops_per_token(const Model& model) {
  std::int64_t sum = 0;
  for_active(model, [&](const Matrix& matrix, int times) { sum += 2 * times * matrix.rows * matrix.cols; });
  return sum;
}

}  // namespace expertscope::testing
