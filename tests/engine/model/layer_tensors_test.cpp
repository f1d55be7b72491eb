// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/layer_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/formats/tensor_store.h"
#include "engine/model/families/family.h"
#include "engine/model/weight_binder.h"

namespace expertscope {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Shape = std::vector<std::int64_t>;

constexpr int kHidden = 8;

/// A layer that has everything, with sizes that tell the tensors apart.
LayerSpec full_layer() {
  LayerSpec layer;
  layer.norm = {.kind = NormSpec::Kind::layer, .zero_centred = true};
  layer.norm_before = layer.norm_after = true;
  layer.attention = {.heads = 6,
                     .kv_heads = 2,
                     .head_dim = 4,
                     .rotary = {},
                     .qk_norm = AttentionSpec::QkNorm::whole,
                     .qkv_bias = true,
                     .output_bias = true,
                     .sinks = true,
                     .gate = 6};
  layer.router = {.experts = 3, .top_k = 1, .bias = true, .correction_bias = true, .input_norm = true};
  layer.expert = {.width = 5, .biases = true};
  layer.shared = {.width = 7, .gated = false};
  layer.shared_gate = true;
  layer.dense = {.width = 9, .biases = true};
  return layer;
}

constexpr TensorNames kNames = {
    .input_layernorm = "{layer}.before.weight",
    .attention_post_norm = "{layer}.after.weight",
    .post_attention_layernorm = "{layer}.mlp_before.weight",
    .mlp_post_norm = "{layer}.mlp_after.weight",
    .q_proj = "{layer}.q",
    .k_proj = "{layer}.k",
    .v_proj = "{layer}.v",
    .o_proj = "{layer}.o",
    .q_norm = "{layer}.q_norm.weight",
    .k_norm = "{layer}.k_norm.weight",
    .sinks = "{layer}.sinks",
    .attention_gate = "{layer}.gate",
    .router_norm = "{layer}.router_norm.weight",
    .router = "{layer}.router",
    .correction_bias = "{layer}.correction",
    .expert = {"{layer}.e{expert}.gate", "{layer}.e{expert}.up", "{layer}.e{expert}.down"},
    .shared = {"{layer}.s.gate", "{layer}.s.up", "{layer}.s.down"},
    .shared_expert_gate = "{layer}.s.weigh",
    .dense = {"{layer}.d.gate", "{layer}.d.up", "{layer}.d.down"}};

const std::map<std::string, Shape> kTensors = {{"0.before.weight", {8}},
                                               {"0.before.bias", {8}},
                                               {"0.after.weight", {8}},
                                               {"0.after.bias", {8}},
                                               {"0.mlp_before.weight", {8}},
                                               {"0.mlp_before.bias", {8}},
                                               {"0.mlp_after.weight", {8}},
                                               {"0.mlp_after.bias", {8}},
                                               {"0.q.weight", {24, 8}},
                                               {"0.q.bias", {24}},
                                               {"0.k.weight", {8, 8}},
                                               {"0.k.bias", {8}},
                                               {"0.v.weight", {8, 8}},
                                               {"0.v.bias", {8}},
                                               {"0.o.weight", {8, 24}},
                                               {"0.o.bias", {8}},
                                               {"0.q_norm.weight", {24}},
                                               {"0.k_norm.weight", {8}},
                                               {"0.sinks", {6}},
                                               {"0.gate.weight", {6, 8}},
                                               {"0.router_norm.weight", {8}},
                                               {"0.router.weight", {3, 8}},
                                               {"0.router.bias", {3}},
                                               {"0.correction", {3}},
                                               {"0.e0.gate.weight", {5, 8}},
                                               {"0.e0.up.weight", {5, 8}},
                                               {"0.e0.down.weight", {8, 5}},
                                               {"0.e0.gate.bias", {5}},
                                               {"0.e0.up.bias", {5}},
                                               {"0.e0.down.bias", {8}},
                                               {"0.e1.gate.weight", {5, 8}},
                                               {"0.e1.up.weight", {5, 8}},
                                               {"0.e1.down.weight", {8, 5}},
                                               {"0.e1.gate.bias", {5}},
                                               {"0.e1.up.bias", {5}},
                                               {"0.e1.down.bias", {8}},
                                               {"0.e2.gate.weight", {5, 8}},
                                               {"0.e2.up.weight", {5, 8}},
                                               {"0.e2.down.weight", {8, 5}},
                                               {"0.e2.gate.bias", {5}},
                                               {"0.e2.up.bias", {5}},
                                               {"0.e2.down.bias", {8}},
                                               {"0.s.up.weight", {7, 8}},
                                               {"0.s.down.weight", {8, 7}},
                                               {"0.s.weigh.weight", {1, 8}},
                                               {"0.d.gate.weight", {9, 8}},
                                               {"0.d.up.weight", {9, 8}},
                                               {"0.d.down.weight", {8, 9}},
                                               {"0.d.gate.bias", {9}},
                                               {"0.d.up.bias", {9}},
                                               {"0.d.down.bias", {8}}};

/// Files in memory: each tensor filled with a number of its own, its place in the list.
class Files {
 public:
  explicit Files(const std::string& without = {}) {
    float number = 0;
    for (const auto& [name, shape] : kTensors) {
      number += 1;
      if (name == without) continue;
      const std::size_t count = static_cast<std::size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1));
      data_.emplace_back(count, number);
      numbers_[name] = number;
      source_.tensors.push_back({name, "F32", shape,
                                 reinterpret_cast<const std::uint8_t*>(data_.back().data()), count * 4,
                                 &file_});
    }
  }
  Status bind(const TensorNames& names, LayerWeights& layer) {
    ModelConfig config;
    config.architecture = "Full";
    config.hidden_size = kHidden;
    config.layers = {full_layer()};
    store_.emplace(source_);
    return WeightBinder(*store_, config, names).bind_layer(0, layer);
  }
  float number(const std::string& name) const { return numbers_.at(name); }

 private:
  const std::filesystem::path file_ = "memory";
  std::deque<std::vector<float>> data_;
  std::map<std::string, float> numbers_;
  TensorSource source_;
  std::optional<TensorStore> store_;
};

float first(const Matrix& matrix) {
  return matrix ? *static_cast<const float*>(matrix.data) : 0.0f;
}

TEST(LayerTensors, EveryWeightThatASpecAsksForIsReadByItsName) {
  Files files;
  LayerWeights layer;
  const Status ok = files.bind(kNames, layer);
  ASSERT_TRUE(ok) << ok.error().message;
  const auto is_norm = [&](const Vector& weight, const char* name, std::size_t size) {
    EXPECT_THAT(weight, SizeIs(size)) << name;
    EXPECT_THAT(weight, Each(files.number(name) + 1)) << name << " is zero-centred";
  };
  const auto is_vector = [&](const Vector& values, const char* name, std::size_t size) {
    EXPECT_THAT(values, SizeIs(size)) << name;
    EXPECT_THAT(values, Each(files.number(name))) << name;
  };
  const auto is_matrix = [&](const Matrix& matrix, const char* name) {
    EXPECT_EQ(first(matrix), files.number(name)) << name;
    EXPECT_EQ((Shape{matrix.rows, matrix.cols}), kTensors.at(name)) << name;
  };
  is_norm(layer.input_layernorm, "0.before.weight", 8);
  is_norm(layer.attention_post_norm, "0.after.weight", 8);
  is_norm(layer.post_attention_layernorm, "0.mlp_before.weight", 8);
  is_norm(layer.mlp_post_norm, "0.mlp_after.weight", 8);
  is_norm(layer.q_norm, "0.q_norm.weight", 24);
  is_norm(layer.k_norm, "0.k_norm.weight", 8);
  is_norm(layer.router_norm, "0.router_norm.weight", 8);
  is_vector(layer.input_layernorm_bias, "0.before.bias", 8);
  is_vector(layer.attention_post_norm_bias, "0.after.bias", 8);
  is_vector(layer.post_attention_layernorm_bias, "0.mlp_before.bias", 8);
  is_vector(layer.mlp_post_norm_bias, "0.mlp_after.bias", 8);
  is_vector(layer.q_bias, "0.q.bias", 24);
  is_vector(layer.o_bias, "0.o.bias", 8);
  is_vector(layer.sinks, "0.sinks", 6);
  is_vector(layer.router_bias, "0.router.bias", 3);
  is_vector(layer.correction_bias, "0.correction", 3);
  is_vector(layer.experts.at(2).down_bias, "0.e2.down.bias", 8);
  is_vector(layer.mlp.up_bias, "0.d.up.bias", 9);
  is_matrix(layer.q_proj, "0.q.weight");
  is_matrix(layer.o_proj, "0.o.weight");
  is_matrix(layer.attention_gate, "0.gate.weight");
  is_matrix(layer.router, "0.router.weight");
  is_matrix(layer.experts.at(1).gate_proj, "0.e1.gate.weight");
  is_matrix(layer.shared.down_proj, "0.s.down.weight");
  is_matrix(layer.shared_gate, "0.s.weigh.weight");
  is_matrix(layer.mlp.down_proj, "0.d.down.weight");
  EXPECT_FALSE(layer.shared.gate_proj) << "an MLP without a gate";
}

TEST(LayerTensors, EachOneThatIsMissingIsNamed) {
  for (const auto& [name, shape] : kTensors) {
    LayerWeights layer;
    const Status ok = Files(name).bind(kNames, layer);
    ASSERT_FALSE(ok) << name;
    EXPECT_THAT(ok.error().message, HasSubstr("tensor " + name)) << shape_text(shape);
  }
}

TEST(LayerTensors, WhatTheFamilyHasNoNameForIsRefused) {
  TensorNames names = kNames;
  names.sinks = nullptr;
  LayerWeights layer;
  const Status ok = Files().bind(names, layer);
  ASSERT_FALSE(ok);
  EXPECT_THAT(ok.error().message, HasSubstr("config.json asks for a tensor [6] that Full has no name for"));
}

/// What the layer asks for of a DeltaNet, by where it is kept: rows x cols, or rows of a vector.
std::map<std::string, Shape> delta_sizes(bool grouped) {
  LayerSpec layer;
  layer.mixer = MixerKind::linear_attention;
  layer.delta_net = {.key_heads = 2, .value_heads = 4, .key_dim = 3, .value_dim = 5, .taps = 6};
  layer.delta_net.grouped = grouped;
  TensorNames names;
  names.input_layernorm = "input";
  names.post_attention_layernorm = "post";
  names.delta_qkvz = "qkvz";
  names.delta_ba = "ba";
  names.delta_qkv = "qkv";
  names.delta_z = "z";
  names.delta_b = "b";
  names.delta_a = "a";
  names.delta_conv = "conv";
  names.delta_dt_bias = "dt_bias";
  names.delta_a_log = "a_log";
  names.delta_norm = "norm";
  names.delta_out = "out";
  std::map<std::string, Shape> sizes;
  for (const LayerTensor& tensor : layer_tensors())
    if (const TensorSize size = tensor.size(layer, kHidden); size.rows > 0)
      sizes[names.*tensor.name] = {size.rows, size.cols};
  return sizes;
}

TEST(LayerTensors, ADeltaNetAsksForOneOfItsTwoLayouts) {
  const std::map<std::string, Shape> both = {{"input", {8, 0}}, {"post", {8, 0}},    {"conv", {32, 6}},
                                             {"norm", {5, 0}},  {"dt_bias", {4, 0}}, {"a_log", {4, 0}},
                                             {"out", {8, 20}}};
  auto grouped = both;
  grouped["qkvz"] = {52, 8};
  grouped["ba"] = {8, 8};
  EXPECT_EQ(delta_sizes(true), grouped);
  auto apart = both;
  apart["qkv"] = {32, 8};
  apart["z"] = {20, 8};
  apart["b"] = apart["a"] = {4, 8};
  EXPECT_EQ(delta_sizes(false), apart);
}

std::map<std::string, Shape> latent_sizes(int q_rank, bool bias) {
  LayerSpec layer;
  layer.attention = {.heads = 3, .kv_heads = 1, .head_dim = 2 + 5};
  layer.attention.rotary.width = 2;
  layer.attention.latent = {.rank = 5, .q_rank = q_rank, .nope_dim = 4, .value_dim = 6};
  layer.attention.qkv_bias = bias;
  std::map<std::string, Shape> sizes;
  TensorNames names = latent_tensor_names();
  for (const LayerTensor& tensor : layer_tensors())
    if (const TensorSize size = tensor.size(layer, kHidden); size.rows > 0)
      sizes[layer_tensor_name(tensor, names, 0, false).substr(std::string("model.layers.0.").size())] = {
          size.rows, size.cols};
  return sizes;
}

TEST(LayerTensors, LatentAttentionAsksForTheProjectionsOfItsLatents) {
  const std::map<std::string, Shape> both = {{"input_layernorm.weight", {8, 0}},
                                             {"post_attention_layernorm.weight", {8, 0}},
                                             {"self_attn.kv_a_proj_with_mqa.weight", {7, 8}},
                                             {"self_attn.kv_a_layernorm.weight", {5, 0}},
                                             {"self_attn.kv_b_proj.weight", {30, 5}},
                                             {"self_attn.o_proj.weight", {8, 18}}};
  auto alone = both;
  alone["self_attn.q_proj.weight"] = {18, 8};
  EXPECT_EQ(latent_sizes(0, false), alone);
  auto with_latent = both;
  with_latent["self_attn.q_a_proj.weight"] = {9, 8};
  with_latent["self_attn.q_a_layernorm.weight"] = {9, 0};
  with_latent["self_attn.q_b_proj.weight"] = {18, 9};
  EXPECT_EQ(latent_sizes(9, false), with_latent);
  with_latent["self_attn.q_a_proj.bias"] = {9, 0};
  with_latent["self_attn.kv_a_proj_with_mqa.bias"] = {7, 0};
  EXPECT_EQ(latent_sizes(9, true), with_latent);
}

}  // namespace
}  // namespace expertscope
