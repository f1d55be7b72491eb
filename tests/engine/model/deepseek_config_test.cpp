// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine/model/config_edits.h"

namespace expertscope {
namespace {

using testing::config_of;
using testing::Edit;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Json;
using testing::refusal;

TEST(DeepseekConfig, HeadsAttendToOneLatentAToken) {
  const auto config = config_of([](Json&) {}, "deepseek_v2");
  const AttentionSpec& attention = config.layer(1).attention;
  EXPECT_EQ(attention.latent,
            (LatentSpec{.rank = 20, .q_rank = 24, .nope_dim = 12, .value_dim = 10, .eps = 1e-6f}));
  EXPECT_EQ(attention.heads, 4);
  EXPECT_EQ(attention.kv_heads, 1);
  EXPECT_EQ(attention.head_dim, 8 + 20);  // what turns, and the latent
  EXPECT_EQ(attention.q_rows(), 4 * (12 + 8));
  EXPECT_EQ(attention.output_width(), 4 * 10);
  EXPECT_EQ(attention.kv_b_rows(), 4 * (12 + 10));
  EXPECT_TRUE(attention.rotary.interleaved);
  EXPECT_TRUE(attention.qkv_bias && attention.output_bias);
  EXPECT_EQ(config.norm.eps, 1e-5f);  // the norms of latents have one of their own
  EXPECT_TRUE(config.can_rewind());
}

TEST(DeepseekConfig, AbsentLatentOfQueriesIsTheUsualOneAndNullIsNone) {
  EXPECT_EQ(
      config_of([](Json& c) { c.erase("q_lora_rank"); }, "deepseek_v2").layer(0).attention.latent.q_rank,
      1536);
  EXPECT_EQ(config_of([](Json&) {}, "deepseek_v2_lite").layer(0).attention.latent.q_rank, 0);
}

TEST(DeepseekConfig, YarnScalesTheScoresOfLatentAttention) {
  const auto scale = [](const Edit& edit) {
    return config_of(edit, "deepseek_v2_lite").layer(0).attention.score_scale();
  };
  const double usual = 1 / std::sqrt(20.0);
  const double mscale = 0.1 * 0.707 * std::log(40.0) + 1;
  EXPECT_FLOAT_EQ(scale([](Json&) {}), static_cast<float>(usual * mscale * mscale));
  EXPECT_FLOAT_EQ(scale([](Json& c) { c["rope_scaling"] = nullptr; }), static_cast<float>(usual));
  EXPECT_FLOAT_EQ(scale([](Json& c) { c["rope_scaling"]["mscale_all_dim"] = 0; }), static_cast<float>(usual));
}

TEST(DeepseekConfig, ExpertsOfV2AreTheBestOfAllOrOfTheBestGroups) {
  const RouterSpec limited = config_of([](Json&) {}, "deepseek_v2").layer(1).router;
  EXPECT_EQ(limited.groups, 4);
  EXPECT_EQ(limited.top_groups, 2);
  EXPECT_EQ(limited.group_rank, RouterSpec::GroupRank::maximum);
  EXPECT_EQ(limited.score, RouterSpec::Score::softmax);
  EXPECT_FALSE(limited.renormalise);
  EXPECT_EQ(limited.scale, 1.5f);
  const auto greedy = config_of([](Json& c) { c["topk_method"] = "greedy"; }, "deepseek_v2");
  EXPECT_EQ(greedy.layer(1).router.groups, 1);
}

TEST(DeepseekConfig, WhereAFileOfV3IsSilentItIsDeepseekV3) {
  const auto config = config_of(
      [](Json& c) {
        for (const char* key : {"n_group", "topk_group", "routed_scaling_factor", "num_experts_per_tok",
                                "n_routed_experts", "kv_lora_rank", "v_head_dim"})
          c.erase(key);
      },
      "deepseek_v3");
  const RouterSpec& router = config.layer(1).router;
  EXPECT_EQ(router.experts, 256);
  EXPECT_EQ(router.top_k, 8);
  EXPECT_EQ(router.groups, 8);
  EXPECT_EQ(router.top_groups, 4);
  EXPECT_EQ(router.scale, 2.5f);
  EXPECT_EQ(config.layer(1).attention.latent.rank, 512);
  EXPECT_EQ(config.layer(1).attention.latent.value_dim, 128);
  EXPECT_FALSE(config.is_moe(0));
}

TEST(DeepseekConfig, KimiK2IsReadWithoutAWord) {
  const auto parsed = testing::parsed([](Json& c) { c["model_type"] = "kimi_k2"; }, "deepseek_v3");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_THAT(parsed->warnings, IsEmpty());
}

TEST(DeepseekConfig, DenseLayersOfGlmFlashComeFirst) {
  const auto dense = [](const Json& types) {
    const auto config = config_of([&](Json& c) { c["mlp_layer_types"] = types; }, "glm4_moe_lite");
    return config.num_layers() - config.num_moe_layers();
  };
  EXPECT_EQ(dense({"dense", "dense", "sparse"}), 2);
  EXPECT_EQ(dense({"sparse", "sparse", "sparse"}), 0);
  EXPECT_EQ(dense(nullptr), 1);
}

TEST(DeepseekConfig, WhatContradictsItselfOrDoesNotRunIsRefusedByName) {
  struct Case {
    const char* model;
    Edit edit;
    const char* message;
  };
  const Case cases[] = {
      {"deepseek_v2", [](Json& c) { c["num_key_value_heads"] = 2; },
       "num_key_value_heads: 2 is not supported"},
      {"deepseek_v2", [](Json& c) { c["head_dim"] = 16; }, "head_dim: 16 is not supported"},
      {"deepseek_v2", [](Json& c) { c["qk_head_dim"] = 21; }, "qk_head_dim: 21 is not supported"},
      {"deepseek_v2", [](Json& c) { c["qk_rope_head_dim"] = 7; }, "7 is not an even number"},
      {"deepseek_v2", [](Json& c) { c["kv_lora_rank"] = 0; }, "kv_lora_rank"},
      {"deepseek_v2", [](Json& c) { c["norm_topk_prob"] = true; }, "norm_topk_prob: true is not supported"},
      {"deepseek_v2", [](Json& c) { c["topk_method"] = "noaux_tc"; },
       "topk_method: \"noaux_tc\" is not supported"},
      {"deepseek_v2", [](Json& c) { c["n_group"] = 3; }, "n_group: 3 groups of 16 experts"},
      {"deepseek_v2",
       [](Json& c) {
         c["num_attention_heads"] = 65536;
         c["num_key_value_heads"] = 65536;
         c["kv_lora_rank"] = 1 << 20;
       },
       "num_attention_heads: 65536 heads of"},
      {"deepseek_v3", [](Json& c) { c["scoring_func"] = "softmax"; },
       "scoring_func: \"softmax\" is not supported"},
      {"glm4_moe_lite",
       [](Json& c) {
         c["mlp_layer_types"] = {"sparse", "dense", "sparse"};
       },
       "mlp_layer_types: expected 3 layers"},
      {"glm4_moe_lite", [](Json& c) { c["mlp_layer_types"] = {"dense"}; },
       "mlp_layer_types: expected 3 layers"},
      {"glm4_moe_lite", [](Json& c) { c["mlp_layer_types"] = 7; }, "mlp_layer_types: expected 3 layers"},
  };
  for (const Case& c : cases)
    EXPECT_THAT(refusal(c.edit, c.model).message, HasSubstr(c.message));
}

}  // namespace
}  // namespace expertscope
