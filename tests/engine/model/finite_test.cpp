// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/model/model.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using testing::ModelFolder;
using Json = nlohmann::json;

std::shared_ptr<const Model> open(const std::filesystem::path& folder) {
  auto model = Model::open(folder);
  if (!model) ADD_FAILURE() << model.error().message;
  return model ? *model : nullptr;
}

class NotFinite : public ::testing::TestWithParam<std::pair<const char*, std::uint32_t>> {};

TEST_P(NotFinite, IsFoundAndNamed) {
  const auto [tensor, bits] = GetParam();
  const ModelFolder folder("top1");
  folder.edit_weights([&, name = tensor, value = bits](Json& header, std::string& data) {
    const auto end = header[name]["data_offsets"][1].get<std::size_t>();
    std::memcpy(data.data() + end - 4, &value, 4);
  });
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  const auto finite = model->check_finite();
  ASSERT_FALSE(finite);
  EXPECT_EQ(finite.error().code, ErrorCode::format);
  EXPECT_THAT(finite.error().message, HasSubstr(std::string("tensor ") + tensor + " has NaN or Inf"));
}

INSTANTIATE_TEST_SUITE_P(
    Tensors, NotFinite,
    ::testing::Values(std::pair("model.embed_tokens.weight", 0x7fc00000u),
                      std::pair("model.norm.weight", 0x7f800000u), std::pair("lm_head.weight", 0xff800000u),
                      std::pair("model.layers.0.mlp.gate.weight", 0x7f800001u),
                      std::pair("model.layers.1.mlp.experts.3.down_proj.weight", 0xffc00000u),
                      std::pair("model.layers.1.self_attn.k_norm.weight", 0x7fc00000u)),
    [](const auto& suite) { return "case" + std::to_string(suite.index); });

TEST(CheckFinite, CoversHalfPrecisionAndPartsAndStops) {
  for (const char* name : {"bf16", "f16"}) {
    const ModelFolder folder(name);
    folder.edit_weights([](Json& header, std::string& data) {
      const auto at =
          header["model.layers.1.mlp.experts.0.up_proj.weight"]["data_offsets"][0].get<std::size_t>();
      data[at] = '\0';
      data[at + 1] = '\x7f';  // Inf or NaN in either type once the low bits are set
      data[at] = '\x80';
    });
    const auto model = open(folder.path());
    ASSERT_NE(model, nullptr);
    EXPECT_TRUE(model->check_finite_part(-1));
    EXPECT_TRUE(model->check_finite_part(0));
    EXPECT_THAT(model->check_finite_part(1).error().message,
                HasSubstr("experts.0.up_proj.weight has NaN or Inf in row 0"));
    EXPECT_FALSE(model->check_finite_part(99));
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(model->check_finite(stop.get_token()).error().code, ErrorCode::cancelled);
  }
}

TEST(CheckFinite, NamesTheTensorThatHoldsAllExperts) {
  const ModelFolder folder("v5_fused");
  folder.edit_weights([](Json& header, std::string& data) {
    const auto end = header["model.layers.1.mlp.experts.down_proj"]["data_offsets"][1].get<std::size_t>();
    const std::uint32_t nan = 0x7fc00000u;
    std::memcpy(data.data() + end - 4, &nan, 4);
  });
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_THAT(model->check_finite().error().message,
              HasSubstr("tensor model.layers.1.mlp.experts.down_proj has NaN or Inf in row 31 of expert 7"));
}

}  // namespace
}  // namespace expertscope
