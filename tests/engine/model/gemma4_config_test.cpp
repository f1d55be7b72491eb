// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine/model/config_edits.h"

namespace expertscope {
namespace {

using testing::config_of;
using testing::Edit;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Json;
using testing::refusal;

std::vector<int> windows(const Edit& edit) {
  std::vector<int> all;
  for (const LayerSpec& layer : config_of(edit, "gemma4").layers)
    all.push_back(layer.attention.window);
  return all;
}

TEST(Gemma4Config, LayersSeeAWindowOrAllWithWiderHeads) {
  const auto config = config_of([](Json&) {}, "gemma4");
  const AttentionSpec& windowed = config.layer(0).attention;
  const AttentionSpec& full = config.layer(1).attention;
  EXPECT_EQ(windowed.window, 16);
  EXPECT_EQ(windowed.head_dim, 12);
  EXPECT_EQ(windowed.kv_heads, 2);
  EXPECT_FALSE(windowed.keys_as_values);
  EXPECT_EQ(windowed.rotary.scaling, RotaryScaling::none);
  EXPECT_EQ(full.window, 0);
  EXPECT_EQ(full.head_dim, 24);
  EXPECT_EQ(full.kv_heads, 1);
  EXPECT_TRUE(full.keys_as_values);
  EXPECT_EQ(full.rotary.scaling, RotaryScaling::proportional);
  EXPECT_EQ(full.rotary.turning, 3);  // of 12 pairs, a quarter
  for (const AttentionSpec* spec : {&windowed, &full}) {
    EXPECT_EQ(spec->scale, 1.0f);
    EXPECT_TRUE(spec->v_norm);
  }
}

TEST(Gemma4Config, TheLastLayerSeesAllWhateverTheFileSays) {
  EXPECT_THAT(windows([](Json& c) { c.erase("layer_types"); }), ElementsAre(16, 16, 16, 0));
  EXPECT_THAT(windows([](Json& c) { c["layer_types"][3] = "sliding_attention"; }), ElementsAre(16, 0, 16, 0));
}

TEST(Gemma4Config, WhereTheFileIsSilentItIsGemma4) {
  const auto config = config_of(
      [](Json& c) {
        for (const char* key : {"global_head_dim", "attention_k_eq_v", "num_global_key_value_heads",
                                "rope_parameters", "final_logit_softcapping"})
          c.erase(key);
      },
      "gemma4");
  const AttentionSpec& full = config.layer(1).attention;
  EXPECT_EQ(full.head_dim, 512);
  EXPECT_EQ(full.kv_heads, 2);
  EXPECT_EQ(full.rotary.turning, 64);
  EXPECT_EQ(full.rotary.theta, 1e6);
  EXPECT_EQ(config.layer(0).attention.rotary.theta, 1e4);
  EXPECT_EQ(config.logit_cap, 0.0f);
}

TEST(Gemma4Config, ExpertsStandBesideADenseMlpWithNormsOfTheirOwn) {
  const auto config = config_of([](Json&) {}, "gemma4");
  const LayerSpec& layer = config.layer(0);
  EXPECT_TRUE(layer.norm_before && layer.norm_after && layer.branch_norms && layer.output_scale);
  EXPECT_TRUE(layer.router.input_norm && layer.router.reads_residual && layer.router.expert_scale);
  EXPECT_TRUE(layer.router.renormalise);
  EXPECT_FLOAT_EQ(layer.router.input_scale, 1 / std::sqrt(32.0f));
  EXPECT_EQ(layer.dense.width, 28);
  EXPECT_EQ(layer.expert.activation, Activation::gelu_tanh);
  EXPECT_FLOAT_EQ(config.embedding_scale, std::sqrt(32.0f));
  EXPECT_EQ(config.logit_cap, 30.0f);
}

TEST(Gemma4Config, OfAModelThatSeesTheTextPartIsRead) {
  const auto config = testing::parsed(
      [](Json& c) {
        Json text = c;
        text.erase("architectures");
        c = {{"architectures", {"Gemma4ForConditionalGeneration"}},
             {"model_type", "gemma4"},
             {"vision_config", {{"depth", 1}}},
             {"audio_config", nullptr},
             {"image_token_id", 7},
             {"text_config", text}};
      },
      "gemma4");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->config.num_layers(), 4);
  EXPECT_TRUE(config->config.tie_word_embeddings);
  EXPECT_STREQ(config->tensors.router, "model.language_model.layers.{layer}.router.proj");
}

TEST(Gemma4Config, WhatOtherMembersOfTheFamilyHaveIsRefusedByName) {
  const auto message = [](const Edit& edit) { return refusal(edit, "gemma4").message; };
  EXPECT_THAT(message([](Json& c) { c["hidden_size_per_layer_input"] = 256; }),
              HasSubstr("hidden_size_per_layer_input: only 0 is supported"));
  EXPECT_THAT(message([](Json& c) { c["num_kv_shared_layers"] = 2; }),
              HasSubstr("num_kv_shared_layers: only 0 is supported"));
  EXPECT_THAT(message([](Json& c) { c["enable_moe_block"] = false; }),
              HasSubstr("enable_moe_block: no layer"));
  EXPECT_THAT(message([](Json& c) { c["use_bidirectional_attention"] = "all"; }),
              HasSubstr("use_bidirectional_attention: \"all\" is not supported"));
  EXPECT_THAT(message([](Json& c) { c["hidden_activation"] = "silu"; }), HasSubstr("hidden_activation"));
  EXPECT_THAT(message([](Json& c) { c["num_global_key_value_heads"] = 3; }),
              HasSubstr("num_global_key_value_heads: 3 does not divide num_attention_heads 4"));
  EXPECT_THAT(message([](Json& c) { c["rope_parameters"]["full_attention"]["rope_type"] = "yarn"; }),
              HasSubstr("rope_type: \"yarn\" is not supported"));
  EXPECT_THAT(message([](Json& c) { c["rope_parameters"]["full_attention"]["beta"] = 1; }),
              HasSubstr("beta: 1: this setting is not known"));
  EXPECT_THAT(message([](Json& c) { c["global_head_dim"] = 13; }),
              HasSubstr("global_head_dim: 13 is not an even number"));
}

}  // namespace
}  // namespace expertscope
