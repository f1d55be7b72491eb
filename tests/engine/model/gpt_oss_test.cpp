// SPDX-License-Identifier: GPL-3.0-or-later
// gpt-oss: what its config.json means, and experts in MXFP4 and transposed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "engine/model/config_reader.h"
#include "engine/model/model.h"
#include "tests/support/model_folder.h"
#include "tests/support/open_store.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelFolder;
using Json = nlohmann::json;
using Edit = std::function<void(Json&)>;

/// A config.json of tests/data/models after an edit.
Result<ParsedConfig> parsed(const Edit& edit, const std::string& model) {
  auto json = Json::parse(testing::read_bytes(testing::data_folder() / "models" / model / "config.json"));
  edit(json);
  return parse_config(json.dump(), "config.json");
}

ModelConfig config_of(const Edit& edit, const std::string& model) {
  const auto result = parsed(edit, model);
  EXPECT_TRUE(result) << result.error().message;
  return result ? result->config : ModelConfig{};
}

std::string refusal(const Edit& edit, const std::string& model) {
  const auto result = parsed(edit, model);
  EXPECT_FALSE(result);
  return result ? std::string() : result.error().message;
}

std::shared_ptr<const Model> fixture(const std::string& name) {
  const auto model = Model::open(testing::data_folder() / "models" / name);
  EXPECT_TRUE(model) << model.error().message;
  return model ? *model : nullptr;
}

TEST(GptOssConfig, IsReadAsTheHubHasIt) {
  const ModelConfig config = config_of([](Json& c) { c["swiglu_limit"] = 7.0; }, "gpt_oss_mxfp4");
  ASSERT_EQ(config.num_layers(), 2);
  EXPECT_EQ(config.layers[0].attention.window, 128);
  EXPECT_EQ(config.layers[1].attention.window, 0);
  for (const LayerSpec& layer : config.layers) {
    EXPECT_TRUE(layer.attention.sinks && layer.attention.qkv_bias && layer.attention.output_bias);
    EXPECT_EQ(layer.attention.rotary.scaling, RotaryScaling::yarn);
    EXPECT_FALSE(layer.attention.rotary.truncate);
    EXPECT_EQ(layer.router.score, RouterSpec::Score::softmax_of_chosen);
    EXPECT_TRUE(layer.router.bias);
    EXPECT_EQ(layer.expert,
              (MlpSpec{.width = 32, .alpha = 1.702f, .clamp = 7.0f, .up_offset = 1.0f, .biases = true}));
  }
}

TEST(GptOssConfig, IsThatOfItsClassWhereTheFileIsSilent) {
  const ModelConfig config = config_of(
      [](Json& c) {
        for (const char* key : {"rope_scaling", "rope_theta", "sliding_window", "layer_types", "swiglu_limit",
                                "attention_bias", "num_key_value_heads", "head_dim"})
          c.erase(key);
        c["num_attention_heads"] = 16;
      },
      "gpt_oss_bf16");
  const AttentionSpec& first = config.layers[0].attention;
  EXPECT_EQ(first.window, 128);
  EXPECT_EQ(config.layers[1].attention.window, 0);
  EXPECT_EQ(first.kv_heads, 8);
  EXPECT_EQ(first.head_dim, 64);
  EXPECT_TRUE(first.qkv_bias);
  EXPECT_EQ(first.rotary.theta, 150000.0);
  EXPECT_EQ(first.rotary.scaling, RotaryScaling::yarn);
  EXPECT_EQ(first.rotary.factor, 32.0);
  EXPECT_EQ(first.rotary.trained_positions, 4096.0);
  EXPECT_FALSE(first.rotary.truncate);
  EXPECT_DOUBLE_EQ(first.rotary.magnitude, 0.1 * std::log(32.0) + 1.0);
  EXPECT_EQ(config.layers[0].expert.clamp, 7.0f);
}

TEST(GptOssConfig, ThatContradictsItsClassIsRefused) {
  const auto message = [](const Edit& edit) { return refusal(edit, "gpt_oss_bf16"); };
  EXPECT_EQ(message([](Json& c) { c["experts_per_token"] = 4; }),
            "config.json: experts_per_token: 4 is not supported");
  EXPECT_EQ(message([](Json& c) { c["partial_rotary_factor"] = 0.5; }),
            "config.json: partial_rotary_factor: GptOssAttention turns whole heads");
  EXPECT_EQ(message([](Json& c) { c["sliding_window"] = nullptr; }),
            "config.json: sliding_window: null, but layer_types asks for one");
  EXPECT_THAT(message([](Json& c) { c["experts_per_token"] = c["num_experts_per_tok"] = 9; }),
              HasSubstr("only 8 experts"));
  EXPECT_THAT(message([](Json& c) { c["swiglu_limit"] = -1; }), HasSubstr("config.json: swiglu_limit"));
}

TEST(GptOssConfig, Mxfp4IsReadAndNothingElseIsSaidOfIt) {
  const auto with = [](const Json& more) {
    return [more](Json& c) { c["quantization_config"].update(more); };
  };
  EXPECT_TRUE(parsed([](Json&) {}, "gpt_oss_mxfp4"));
  EXPECT_TRUE(parsed(with({{"dequantize", true}}), "gpt_oss_mxfp4"));
  EXPECT_THAT(refusal(with({{"group_size", 16}}), "gpt_oss_mxfp4"),
              HasSubstr("config.json: quantization_config.group_size"));
}

/// Two experts' rows of a projection of layer 0, as f32, [experts][rows][cols].
std::vector<float> widened(const Model& model, Matrix MlpWeights::*projection) {
  std::vector<float> all;
  for (const std::size_t expert : {0, 1}) {
    const Matrix& matrix = model.weights().layers[0].experts[expert].*projection;
    const auto first = static_cast<std::ptrdiff_t>(all.size());
    all.resize(all.size() + static_cast<std::size_t>(matrix.rows * matrix.cols));
    for (std::int64_t r = 0; r < matrix.rows; ++r)
      matrix.dequantise(r, 0, matrix.cols, all.data() + first + r * matrix.cols);
  }
  return all;
}

TEST(GptOssModel, Mxfp4StandsForWhatTransformersMakesOfIt) {
  const auto model = fixture("gpt_oss_mxfp4");
  ASSERT_NE(model, nullptr);
  const auto golden = testing::open_store(testing::data_folder() / "golden/gpt_oss_mxfp4/widened");
  ASSERT_TRUE(golden) << golden.error().message;
  const auto values = [&](const char* name) {
    const SourceTensor* tensor = golden->find(name);
    std::vector<float> all(tensor->bytes / sizeof(float));
    std::memcpy(all.data(), tensor->data, tensor->bytes);
    return all;
  };
  EXPECT_EQ(widened(*model, &MlpWeights::down_proj), values("down_proj"));
  const auto gate_up = values("gate_up_proj");  // [2, 2 * 32, 64]: rows take turns
  const auto gate = widened(*model, &MlpWeights::gate_proj);
  const auto up = widened(*model, &MlpWeights::up_proj);
  for (std::size_t row = 0; row < 2 * 32; ++row) {
    const auto stored = gate_up.begin() + static_cast<std::ptrdiff_t>(row) * 2 * 64;
    const auto here = static_cast<std::ptrdiff_t>(row) * 64;
    EXPECT_TRUE(std::equal(stored, stored + 64, gate.begin() + here)) << row;
    EXPECT_TRUE(std::equal(stored + 64, stored + 128, up.begin() + here)) << row;
  }
}

TEST(GptOssModel, Mxfp4IsUsedInPlaceAndTransposedExpertsAreTurned) {
  const auto packed = fixture("gpt_oss_mxfp4");
  const auto turned = fixture("gpt_oss_bf16");
  ASSERT_TRUE(packed != nullptr && turned != nullptr);
  const MlpWeights& first = packed->weights().layers[0].experts[0];
  EXPECT_EQ(first.gate_proj.row_step, 2);
  EXPECT_EQ(static_cast<const std::uint8_t*>(first.up_proj.data),
            static_cast<const std::uint8_t*>(first.gate_proj.data) + first.gate_proj.row_bytes());
  EXPECT_THAT(packed->result_warnings(), IsEmpty());
  EXPECT_THAT(turned->result_warnings(),
              ::testing::ElementsAre(
                  "Weights lie transposed in their files: 196608 bytes of them were turned in memory."));
}

/// What is said of gpt_oss_mxfp4 after an edit of the header of its weights.
std::string refused_mxfp4(const std::function<void(Json&)>& edit) {
  const ModelFolder folder("gpt_oss_mxfp4");
  folder.edit_weights([&](Json& header, std::string&) { edit(header); });
  const auto model = Model::open(folder.path());
  EXPECT_FALSE(model);
  return model ? std::string() : model.error().message;
}

TEST(GptOssModel, DamagedMxfp4IsRefusedByTheNameOfItsTensor) {
  const std::string experts = "model.layers.1.mlp.experts.";
  const auto without = [&](const std::string& name) {
    return refused_mxfp4([&](Json& header) {
      header[experts + "other"] = header[experts + name];
      header.erase(experts + name);
    });
  };
  const auto with = [&](const std::string& name, const char* key, Json value) {
    return refused_mxfp4([&](Json& header) { header[experts + name][key] = std::move(value); });
  };
  EXPECT_THAT(without("down_proj_scales"), HasSubstr(experts + "down_proj_scales [8, 64, 1] is missing"));
  EXPECT_THAT(without("gate_up_proj_blocks"), HasSubstr(experts + "gate_up_proj [8, 64, 64] is missing"));
  EXPECT_THAT(without("gate_up_proj_bias"), HasSubstr(experts + "gate_up_proj_bias [8, 64] is missing"));
  EXPECT_THAT(without("down_proj_bias"), HasSubstr(experts + "down_proj_bias [8, 64] is missing"));
  EXPECT_THAT(with("gate_up_proj_scales", "shape", {8, 128, 1}),
              HasSubstr("gate_up_proj_scales has shape [8, 128, 1], but config.json asks for [8, 64, 2]"));
  EXPECT_THAT(
      with("gate_up_proj_blocks", "shape", {8, 64, 4, 8}),
      HasSubstr("gate_up_proj_blocks has shape [8, 64, 4, 8], but config.json asks for [8, 64, 2, 16]"));
  EXPECT_THAT(with("down_proj_scales", "dtype", "I8"),
              HasSubstr("down_proj_scales [8, 64, 1] is I8 of 512 bytes, and not U8"));
}

TEST(GptOssModel, AScaleThatIsNoNumberIsFoundWhereTheWeightsAreSearched) {
  const ModelFolder folder("gpt_oss_mxfp4");
  folder.edit_weights([](Json& header, std::string& data) {
    const auto& scales = header["model.layers.1.mlp.experts.gate_up_proj_scales"]["data_offsets"];
    data[scales[0].get<std::size_t>() + (2 * 64 + 5) * 2] = '\xff';  // of expert 2, the third row of up
  });
  const auto model = Model::open(folder.path());
  ASSERT_TRUE(model) << model.error().message;
  const Status found = (*model)->check_finite();
  ASSERT_FALSE(found);
  EXPECT_THAT(
      found.error().message,
      HasSubstr("tensor model.layers.1.mlp.experts.gate_up_proj has NaN or Inf in row 2 of expert 2"));
}

}  // namespace
}  // namespace expertscope
