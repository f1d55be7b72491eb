// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/packed_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "engine/model/model.h"
#include "tests/support/model_folder.h"
#include "tests/support/open_store.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelFolder;
using Json = nlohmann::json;

std::shared_ptr<const Model> opened(const std::filesystem::path& folder) {
  const auto model = Model::open(folder);
  EXPECT_TRUE(model) << model.error().message;
  return model ? *model : nullptr;
}

std::vector<float> widened(const Matrix& matrix) {
  std::vector<float> all(static_cast<std::size_t>(matrix.rows * matrix.cols));
  for (std::int64_t r = 0; r < matrix.rows; ++r)
    matrix.dequantise(r, 0, matrix.cols, all.data() + r * matrix.cols);
  return all;
}

class PackedWeights : public ::testing::TestWithParam<std::string> {};

TEST_P(PackedWeights, StandForWhatNumpyMakesOfThem) {
  const auto model = opened(testing::data_folder() / "models" / GetParam());
  ASSERT_NE(model, nullptr);
  const auto golden = testing::open_store(testing::data_folder() / "golden" / GetParam() / "widened");
  ASSERT_TRUE(golden) << golden.error().message;
  const LayerWeights& layer = model->weights().layers[0];
  for (const auto& [name, matrix] : {std::pair("self_attn.k_proj", layer.k_proj),
                                     {"mlp.experts.1.gate_proj", layer.experts[1].gate_proj},
                                     {"mlp.experts.1.up_proj", layer.experts[1].up_proj},
                                     {"mlp.experts.1.down_proj", layer.experts[1].down_proj}}) {
    const SourceTensor* tensor = golden->find(std::string("model.layers.0.") + name + ".weight");
    ASSERT_NE(tensor, nullptr) << name;
    std::vector<float> expected(tensor->bytes / sizeof(float));
    std::memcpy(expected.data(), tensor->data, tensor->bytes);
    EXPECT_EQ(widened(matrix), expected) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, PackedWeights, ::testing::Values("int4", "gptq", "awq", "nvfp4"));

TEST(PackedWeights, OfCompressedTensorsLieWhereTheyAreInTheFile) {
  const auto model = opened(testing::data_folder() / "models/int4");
  ASSERT_NE(model, nullptr);
  const LayerWeights& layer = model->weights().layers[0];
  EXPECT_EQ(layer.q_proj.format->name, "INT8_BF16");
  EXPECT_EQ(layer.q_proj.scale_block.cols, 64);
  const MlpWeights& expert = layer.experts[0];
  EXPECT_EQ(expert.up_proj.format, &weight_format(FormatId::int4_bf16));
  EXPECT_EQ(expert.up_proj.scale_block.cols, 32);
  EXPECT_NE(expert.up_proj.zeros, nullptr);
  EXPECT_EQ(expert.down_proj.zeros, nullptr) << "symmetric";
  EXPECT_THAT(model->result_warnings(),
              ElementsAre("Weights lie transposed in their files: 1024 bytes of them were turned in memory."))
      << "the zero points";
}

TEST(PackedWeights, OfGptqAndAwqAreTurnedOnce) {
  for (const char* name : {"gptq", "awq"}) {
    const auto model = opened(testing::data_folder() / "models" / name);
    ASSERT_NE(model, nullptr);
    const MlpWeights& expert = model->weights().layers[1].experts[3];
    EXPECT_EQ(expert.up_proj.format, &weight_format(FormatId::int4_f16));
    EXPECT_THAT(model->result_warnings(), ElementsAre(HasSubstr("were turned in memory.")));
  }
}

TEST(PackedWeights, OfNvfp4LieWhereTheyAreInTheFileWithATableOfScales) {
  const auto model = opened(testing::data_folder() / "models/nvfp4");
  ASSERT_NE(model, nullptr);
  const LayerWeights& layer = model->weights().layers[0];
  EXPECT_EQ(layer.q_proj.format, &weight_format(FormatId::nvfp4)) << "as ModelOpt has it";
  EXPECT_EQ(layer.experts[0].down_proj.format, &weight_format(FormatId::nvfp4))
      << "as compressed-tensors has it";
  EXPECT_THAT(model->result_warnings(), ElementsAre(HasSubstr("input_global_scale")));
  EXPECT_TRUE(model->check_finite());
}

/// A copy of a model whose weights, and then whose config, are edited.
struct Edited {
  using Edit = std::function<void(Json& json, std::string& data)>;
  ModelFolder folder;

  Edited(const std::string& model, const Edit& edit, const Json& quantization = Json::object())
      : folder(model) {
    folder.edit_weights(edit);
    folder.edit_json("config.json", [&](Json& c) { c["quantization_config"].update(quantization); });
  }
  std::string refusal() const {
    const auto model = Model::open(folder.path());
    EXPECT_FALSE(model);
    return model ? std::string() : model.error().message;
  }
};

std::string with(const std::string& model, const std::string& tensor, const char* key, const Json& value) {
  return Edited(model, [&](Json& header, std::string&) { header[tensor][key] = value; }).refusal();
}

std::string without(const std::string& model, const std::string& tensor) {
  return Edited(model,
                [&](Json& header, std::string&) {
                  header["unused"] = header[tensor];
                  header.erase(tensor);
                })
      .refusal();
}

TEST(PackedWeights, OfCompressedTensorsAreRefusedByTheTensorThatDoesNotFit) {
  const std::string up = "model.layers.1.mlp.experts.2.up_proj.";  // [32, 64] in groups of 32
  EXPECT_THAT(without("int4", up + "weight_scale"),
              HasSubstr(up + "weight_scale is missing, the scales of " + up + "weight_packed"));
  EXPECT_THAT(without("int4", up + "weight_packed"), HasSubstr(up + "weight [32, 64] is missing"));
  EXPECT_THAT(
      with("int4", up + "weight_packed", "shape", {64, 4}),
      HasSubstr(up + "weight_packed [64, 4]: expected [32, 8], 32 x 64 weights of 4 bits, or [32, 16] of 8"));
  EXPECT_THAT(with("int4", up + "weight_packed", "dtype", "F32"),
              HasSubstr("packed weights are of I32, these are F32"));
  EXPECT_THAT(
      with("int4", up + "weight_scale", "shape", {2, 32}),
      HasSubstr(up +
                "weight_scale [2, 32]: expected a scale for each of 32 rows and each group of them, which "
                "is a multiple of 32 weights that divides 64"));
  EXPECT_THAT(with("int4", up + "weight_scale", "shape", {64}),
              HasSubstr(up + "weight_scale [64]: expected"));
  EXPECT_THAT(with("int4", up + "weight_scale", "dtype", "I16"), HasSubstr(up + "weight_scale is I16"));
  EXPECT_THAT(with("int4", up + "weight_zero_point", "shape", {2, 4}),
              HasSubstr(up + "weight_zero_point has shape [2, 4], but config.json asks for [4, 2]"));
  EXPECT_THAT(with("int4", up + "weight_zero_point", "dtype", "F32"), HasSubstr("of 32 bytes, and not I32"));
}

TEST(PackedWeights, OfNvfp4AreRefusedByTheTensorThatDoesNotFit) {
  const std::string up = "model.layers.1.mlp.experts.2.up_proj.";  // [32, 48]
  const std::string q = "model.layers.0.self_attn.q_proj.";        // [64, 48]
  EXPECT_THAT(without("nvfp4", up + "weight_scale"), HasSubstr(up + "weight_scale [32, 3] is missing"));
  EXPECT_THAT(without("nvfp4", up + "weight_global_scale"), HasSubstr(up + "weight_scale_2 [1] is missing"));
  EXPECT_THAT(with("nvfp4", up + "weight_packed", "shape", {48, 16}), HasSubstr("has shape [48, 16], but"));
  EXPECT_THAT(with("nvfp4", up + "weight_scale", "shape", {48, 2}),
              HasSubstr("but config.json asks for [32, 3]"));
  EXPECT_THAT(with("nvfp4", up + "weight_scale", "dtype", "U8"),
              HasSubstr("U8 of 96 bytes, and not F8_E4M3"));
  EXPECT_THAT(with("nvfp4", up + "weight_global_scale", "dtype", "I32"),
              HasSubstr("I32 of 4 bytes, and not F32"));
  EXPECT_THAT(without("nvfp4", q + "weight_scale_2"), HasSubstr(q + "weight has shape [64, 24], but"));
  const std::string factor = up + "weight_global_scale";
  EXPECT_THAT(Edited("nvfp4",
                     [&](Json& header, std::string& data) {
                       data.replace(header[factor]["data_offsets"][0].get<std::size_t>(), 4, 4, '\0');
                     })
                  .refusal(),
              HasSubstr(factor + ": with a factor of 0 scales are no finite numbers"));
}

TEST(PackedWeights, AShapeThatLiesIsRefused) {
  const std::string shape = "model.layers.0.self_attn.k_proj.weight_shape";
  EXPECT_THAT(Edited("int4",
                     [&](Json& header, std::string& data) {
                       data[header[shape]["data_offsets"][0].get<std::size_t>()] = 33;
                     })
                  .refusal(),
              HasSubstr(shape + " [2]: it says 33 x 64, but config.json asks for 32 x 64"));
  EXPECT_THAT(with("int4", shape, "shape", {1, 2}), HasSubstr(shape + " has shape [1, 2]"));
}

TEST(PackedWeights, ZeroPointsThatTheConfigPromisesMustBeThere) {
  const ModelFolder folder("int4");
  folder.edit_json("config.json", [](Json& c) {
    for (Json& group : c["quantization_config"]["config_groups"])
      group["weights"]["symmetric"] = false;
  });
  const auto model = Model::open(folder.path());
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("q_proj.weight_zero_point [16, 1] is missing"));
  EXPECT_THAT(without("gptq", "model.layers.0.mlp.experts.0.up_proj.qzeros"),
              HasSubstr("up_proj.qzeros [2, 4] is missing"));
}

TEST(PackedWeights, GptqIsRefusedWhereColumnsLieInAnotherOrderThanTheirGroups) {
  const std::string order = "model.layers.0.self_attn.q_proj.g_idx";
  EXPECT_THAT(Edited("gptq",
                     [&](Json& header, std::string& data) {
                       data[header[order]["data_offsets"][0].get<std::size_t>()] = 1;
                     })
                  .refusal(),
              HasSubstr(order + " [64]: columns in another order (desc_act, actorder) are not supported"));
  const Edited unsaid("gptq",
                      [&](Json& header, std::string&) {
                        header["unused"] = header[order];
                        header.erase(order);
                      },
                      {{"desc_act", true}});
  EXPECT_THAT(unsaid.refusal(), HasSubstr("q_proj.weight has columns in another order (desc_act)"));
  EXPECT_THAT(
      with("gptq", "model.layers.0.self_attn.q_proj.qweight", "shape", {64, 8}),
      HasSubstr("q_proj.qweight [64, 8]: expected [8, 64], 64 x 64 weights of 4 bits, or [16, 64] of 8"));
}

TEST(PackedWeights, AZeroPointThatGptqStoresAsItsLargestNumberIsZero) {
  const std::string zeros = "model.layers.0.mlp.experts.0.up_proj.qzeros";
  const auto first_zero = [&](const Json& quantization) {
    const Edited edited(
        "gptq",
        [&](Json& header, std::string& data) {
          data[header[zeros]["data_offsets"][0].get<std::size_t>()] = static_cast<char>(0x6f);
        },
        quantization);
    const auto model = opened(edited.folder.path());
    const Matrix& up = model->weights().layers[0].experts[0].up_proj;
    return std::pair<int, int>(up.zeros[0], up.zeros[2]);  // of rows 0 and 1
  };
  EXPECT_EQ(first_zero(Json::object()), std::pair(0, 7));
  EXPECT_EQ(first_zero({{"checkpoint_format", "gptq_v2"}}), std::pair(15, 6));
}

TEST(PackedWeights, AwqIsNotReadAsGptq) {
  EXPECT_THAT(Edited("awq", [](Json&, std::string&) {},
                     {{"quant_method", "gptq"}, {"version", nullptr}, {"zero_point", nullptr}})
                  .refusal(),
              HasSubstr("qweight [64, 8]: expected [8, 64]"));
}

}  // namespace
}  // namespace expertscope
