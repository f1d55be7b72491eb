// SPDX-License-Identifier: GPL-3.0-or-later
// What is told of a model before it is opened.
#include "engine/run/model_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/model/model.h"
#include "tests/support/model_folder.h"

namespace expertscope::testing {
namespace {

using ::testing::HasSubstr;

TEST(ModelSummary, IsWhatOpeningTheModelWouldFind) {
  for (const char* name : {"models/top8", "models/bf16", "gguf/q8_0.gguf"}) {
    const auto path = data_folder() / name;
    const auto summary = summarise_model(path);
    const auto model = Model::open(path);
    ASSERT_TRUE(summary && model) << name;
    EXPECT_EQ(summary->family, (*model)->config().model_type);
    EXPECT_EQ(summary->layers, (*model)->config().num_layers());
    EXPECT_EQ(summary->experts, (*model)->config().num_experts());
    EXPECT_EQ(summary->top_k, (*model)->config().top_k());
    EXPECT_EQ(summary->bytes, (*model)->identity().total_bytes);
    EXPECT_GT(summary->kv_cache, 0);
  }
  EXPECT_EQ(summarise_model(data_folder() / "models/top8")->format, "F32");
  EXPECT_EQ(summarise_model(data_folder() / "models/bf16")->format, "BF16");
  EXPECT_EQ(summarise_model(data_folder() / "gguf/q8_0.gguf")->format, "Q8_0");
}

TEST(ModelSummary, OfAFamilyThatDoesNotRunSaysSo) {
  const ModelFolder folder("top1");
  folder.edit_json("config.json", [](auto& config) { config["architectures"] = {"JetMoeForCausalLM"}; });
  const auto summary = summarise_model(folder.path());
  ASSERT_FALSE(summary);
  EXPECT_THAT(summary.error().message, HasSubstr("JetMoe"));
}

}  // namespace
}  // namespace expertscope::testing
