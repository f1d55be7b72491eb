// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/quantization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/model/config_edits.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using testing::parsed;
using testing::refusal;

std::string said(const char* key, Json value) {
  return refusal([&](Json& c) { c[key] = std::move(value); }).message;
}
std::string said(Json value) {
  return said("quantization_config", std::move(value));
}
Result<ParsedConfig> read(Json value) {
  return parsed([&](Json& c) { c["quantization_config"] = std::move(value); });
}

TEST(Quantization, OfOtherKindsIsRefusedByItsName) {
  EXPECT_EQ(
      said({{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}),
      "config.json: quantization_config: the weights are quantised (bitsandbytes), which is not supported; "
      "open the folder of the original model, or one in FP8, MXFP4, NVFP4, GPTQ, AWQ or compressed-tensors");
  for (const auto& [method, name] : {std::pair("hqq", "(HQQ)"),
                                     {"eetq", "(EETQ)"},
                                     {"quark", "(Quark)"},
                                     {"torchao", "(torchao)"},
                                     {"new", "(\"new\")"}})
    EXPECT_THAT(said({{"quant_method", method}}), HasSubstr(name));
  EXPECT_THAT(said({{"load_in_4bit", true}}), HasSubstr("(bitsandbytes)"));
  EXPECT_THAT(said("quantization", {{"group_size", 64}, {"bits", 4}}),
              HasSubstr("quantization: the weights are quantised (MLX)"));
  EXPECT_THAT(said(Json::object()), HasSubstr("(in a way that is not named)"));
  EXPECT_TRUE(read(nullptr));
}

TEST(Quantization, Fp8HasScalesOfBlocksOfRowsOrOfTensors) {
  const auto with = [](Json more) {
    Json quantization = {{"quant_method", "fp8"}, {"fmt", "e4m3"}, {"activation_scheme", "dynamic"}};
    quantization.update(more);
    return quantization;
  };
  EXPECT_TRUE(read(with({{"weight_block_size", {128, 128}}, {"modules_to_not_convert", {"lm_head"}}})));
  EXPECT_TRUE(read(with({{"weight_block_size", nullptr}, {"activation_scheme", "static"}})));
  EXPECT_TRUE(read({{"quant_method", "fbgemm_fp8"}, {"activation_scale_ub", 1200.0}}));
  const auto rows = read(with({{"weight_block_size", {1, 32}}}));
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->quantization.f8_block.rows, 1);
  EXPECT_EQ(rows->quantization.f8_block.cols, 32);
  for (const Json& block : {Json{0, 128}, Json{128}, Json{128, 100}, Json{-1, 16}, Json{1, 1 << 30}})
    EXPECT_THAT(said(with({{"weight_block_size", block}})),
                HasSubstr("are not supported: columns must be a multiple of 16"))
        << block;
  EXPECT_EQ(
      said(with({{"weight_block_size", {128, 100}}})),
      "config.json: quantization_config.weight_block_size: blocks of 128 x 100 are not supported: columns "
      "must be a multiple of 16");
  EXPECT_THAT(said(with({{"fmt", "e5m2"}})), HasSubstr("quantization_config.fmt: \"e5m2\""));
  EXPECT_THAT(said(with({{"rotation", 3}})),
              HasSubstr("quantization_config.rotation: 3: this setting is not known"));
}

/// As llm-compressor writes it, with one group of weights.
Json compressed(const char* format, Json weights, Json more = Json::object()) {
  Json config = {{"quant_method", "compressed-tensors"},
                 {"format", format},
                 {"global_compression_ratio", nullptr},
                 {"ignore", {"lm_head"}},
                 {"kv_cache_scheme", nullptr},
                 {"quantization_status", "compressed"},
                 {"sparsity_config", Json::object()},
                 {"transform_config", Json::object()},
                 {"version", "0.20.1"}};
  config["config_groups"]["group_0"] = {{"targets", {"Linear"}},
                                        {"format", format},
                                        {"input_activations", {{"num_bits", 8}, {"dynamic", true}}},
                                        {"output_activations", nullptr},
                                        {"weights", std::move(weights)}};
  config.update(more);
  return config;
}

Json floats(Json more = Json::object()) {
  Json weights = {{"num_bits", 8},
                  {"type", "float"},
                  {"strategy", "channel"},
                  {"dynamic", false},
                  {"symmetric", true},
                  {"actorder", nullptr},
                  {"group_size", nullptr},
                  {"observer", "minmax"},
                  {"observer_kwargs", Json::object()},
                  {"block_structure", nullptr}};
  weights.update(more);
  return weights;
}

TEST(Quantization, CompressedTensorsOfFloatsAreFp8) {
  EXPECT_TRUE(read(compressed("float-quantized", floats())));
  EXPECT_TRUE(read(compressed("float-quantized", floats({{"strategy", "tensor"}}))));
  const auto blocks =
      read(compressed("float-quantized", floats({{"strategy", "block"}, {"block_structure", {64, 32}}})));
  ASSERT_TRUE(blocks);
  EXPECT_EQ(blocks->quantization.f8_block.rows, 64);
  EXPECT_EQ(blocks->quantization.f8_block.cols, 32);
}

TEST(Quantization, OtherFormsOfCompressedTensorsAreRefusedByTheSettingThatSaysSo) {
  const auto weights = [](Json more) { return said(compressed("float-quantized", floats(std::move(more)))); };
  EXPECT_EQ(
      weights({{"num_bits", 4}}),
      "config.json: quantization_config.config_groups.group_0.weights.num_bits: 4 is not supported, only 8 "
      "bits (E4M3), and 4 in groups of 16 (NVFP4), are");
  EXPECT_THAT(weights({{"strategy", "token"}}), HasSubstr("weights.strategy: \"token\""));
  EXPECT_THAT(weights({{"strategy", "tensor_group"}}), HasSubstr("weights.num_bits: 8"));
  EXPECT_THAT(weights({{"strategy", "tensor_group"}, {"num_bits", 4}, {"group_size", 32}}),
              HasSubstr("weights.group_size: 32"));
  EXPECT_THAT(weights({{"dynamic", true}}), HasSubstr("weights.dynamic: true"));
  EXPECT_THAT(weights({{"actorder", "group"}}), HasSubstr("weights.actorder: \"group\""));
  EXPECT_THAT(said(compressed("mxfp6-pack-quantized", floats())),
              HasSubstr("format: \"mxfp6-pack-quantized\""));
  const auto whole = [](Json more) { return said(compressed("float-quantized", floats(), std::move(more))); };
  EXPECT_THAT(whole({{"sparsity_config", {{"format", "sparse-24-bitmask"}}}}),
              HasSubstr("quantization_config.sparsity_config.format: \"sparse-24-bitmask\""));
  EXPECT_THAT(whole({{"transform_config", {{"config_groups", {{"u", 1}}}}}}), HasSubstr("rotated weights"));
  EXPECT_THAT(whole({{"config_groups", 3}}), HasSubstr("quantization_config.config_groups"));
}

Json integers(Json more = Json::object()) {
  Json weights = floats({{"type", "int"}, {"num_bits", 4}, {"strategy", "group"}, {"group_size", 32}});
  weights.update(more);
  return weights;
}

TEST(Quantization, CompressedTensorsOfIntegersArePackedInRows) {
  const auto of = [](const Json& value) {
    const auto config = read(value);
    EXPECT_TRUE(config);
    return config ? config->quantization : Quantization{};
  };
  const Quantization symmetric = of(compressed("pack-quantized", integers()));
  EXPECT_EQ(symmetric.packing, Quantization::Packing::rows);
  EXPECT_FALSE(symmetric.zero_points);
  EXPECT_FALSE(symmetric.zeros_less_one);
  EXPECT_TRUE(of(compressed("pack-quantized", integers({{"symmetric", false}}))).zero_points);
  EXPECT_TRUE(
      read(compressed("pack-quantized", integers({{"strategy", "channel"}, {"actorder", "static"}}))));
  EXPECT_TRUE(read(compressed("pack-quantized", integers({{"num_bits", 8}}))));
  EXPECT_THAT(said(compressed("pack-quantized", integers({{"num_bits", 3}}))),
              HasSubstr("only 4 and 8 bits are"));
  EXPECT_THAT(said(compressed("pack-quantized", integers({{"strategy", "tensor"}}))),
              HasSubstr("weights.strategy"));
  EXPECT_THAT(said(compressed("int-quantized", integers())), HasSubstr("format: \"int-quantized\""));
}

TEST(Quantization, Nvfp4IsReadFromBothOfItsPrograms) {
  const Json fp4 = floats({{"num_bits", 4}, {"strategy", "tensor_group"}, {"group_size", 16}});
  EXPECT_TRUE(read(compressed("nvfp4-pack-quantized", fp4)));
  const Json modelopt = {{"quant_method", "modelopt"},
                         {"quant_algo", "NVFP4"},
                         {"ignore", {"lm_head"}},
                         {"producer", {{"name", "modelopt"}, {"version", "0.35.0"}}}};
  EXPECT_TRUE(read(modelopt));
  Json other = modelopt;
  other["quant_algo"] = "W4A8_AWQ";
  EXPECT_THAT(said(other), HasSubstr("quantization_config.quant_algo: \"W4A8_AWQ\""));
}

TEST(Quantization, GptqSaysHowItsZeroPointsAreStored) {
  const auto with = [](Json more) {
    Json gptq = {
        {"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}, {"desc_act", false}, {"sym", true}};
    gptq.update(more);
    return gptq;
  };
  const auto first = read(with(Json::object()));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->quantization.packing, Quantization::Packing::gptq);
  EXPECT_TRUE(first->quantization.zeros_less_one);
  EXPECT_FALSE(first->quantization.reordered);
  const auto second = read(with({{"checkpoint_format", "gptq_v2"}, {"desc_act", true}}));
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->quantization.zeros_less_one);
  EXPECT_TRUE(second->quantization.reordered);
  EXPECT_EQ(said(with({{"bits", 3}})),
            "config.json: quantization_config.bits: 3 is not supported, only 4 and 8 bits are");
  EXPECT_THAT(said(with({{"checkpoint_format", "marlin"}})), HasSubstr("checkpoint_format: \"marlin\""));
}

TEST(Quantization, AwqIsReadAsGemmHasIt) {
  const auto with = [](Json more) {
    Json awq = {
        {"quant_method", "awq"}, {"bits", 4}, {"group_size", 128}, {"version", "gemm"}, {"zero_point", true}};
    awq.update(more);
    return awq;
  };
  const auto config = read(with(Json::object()));
  ASSERT_TRUE(config);
  EXPECT_EQ(config->quantization.packing, Quantization::Packing::awq);
  EXPECT_THAT(said(with({{"version", "gemv"}})),
              HasSubstr("version: \"gemv\" is not supported, only \"gemm\" is"));
  EXPECT_THAT(said(with({{"zero_point", false}})), HasSubstr("zero_point: false"));
  EXPECT_THAT(said(with({{"bits", 8}})), HasSubstr("bits: 8"));
}

}  // namespace
}  // namespace expertscope
