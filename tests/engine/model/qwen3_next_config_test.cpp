// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/model/config_edits.h"

namespace expertscope {
namespace {

using testing::config_of;
using testing::Edit;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Json;
using testing::refusal;

/// 1 where a layer is a DeltaNet.
std::vector<int> delta_nets(const Edit& edit) {
  std::vector<int> linear;
  for (const LayerSpec& layer : config_of(edit, "qwen3_next").layers)
    linear.push_back(layer.mixer == MixerKind::linear_attention ? 1 : 0);
  return linear;
}

TEST(Qwen3NextConfig, LayersOfQwen3NextAreDeltaNetsButForEveryFewth) {
  EXPECT_THAT(delta_nets([](Json&) {}), ElementsAre(1, 1, 0, 1));
  EXPECT_THAT(delta_nets([](Json& c) { c.erase("full_attention_interval"); }), ElementsAre(1, 1, 1, 0));
  const Json types = {"full_attention", "linear_attention", "full_attention", "linear_attention"};
  EXPECT_THAT(delta_nets([&](Json& c) { c["layer_types"] = types; }), ElementsAre(0, 1, 0, 1));
}

TEST(Qwen3NextConfig, ALayerOfQwen3NextIsADeltaNetOrGatedAttention) {
  const auto config = config_of([](Json& c) { c.erase("partial_rotary_factor"); }, "qwen3_next");
  const LayerSpec& delta = config.layer(0);
  EXPECT_EQ(delta.attention, AttentionSpec());
  EXPECT_EQ(delta.delta_net.channels(), 2 * 2 * 12 + 4 * 20);
  EXPECT_TRUE(delta.delta_net.grouped);
  EXPECT_TRUE(delta.norm.zero_centred);
  const LayerSpec& attention = config.layer(2);
  EXPECT_EQ(attention.delta_net, DeltaNetSpec());
  EXPECT_EQ(attention.attention.rotary.width, 4);  // a quarter of the head where the file is silent
  EXPECT_TRUE(attention.attention.gate_in_q);
  EXPECT_EQ(attention.attention.gate, 64);
  EXPECT_FALSE(config.can_rewind());
}

TEST(Qwen3NextConfig, DeltaNetsThatContradictThemselvesAreRefused) {
  const auto message = [](const Edit& edit) { return refusal(edit, "qwen3_next").message; };
  EXPECT_EQ(message([](Json& c) { c["linear_num_key_heads"] = 3; }),
            "config.json: linear_num_key_heads: 3 does not divide linear_num_value_heads 4");
  EXPECT_THAT(message([](Json& c) { c["linear_key_head_dim"] = 4096; }), HasSubstr("linear_key_head_dim"));
  EXPECT_THAT(message([](Json& c) { c["linear_conv_kernel_dim"] = 0; }), HasSubstr("linear_conv_kernel_dim"));
  EXPECT_EQ(message([](Json& c) { c["linear_num_value_heads"] = 65536; }),
            "config.json: linear_num_value_heads: 65536 heads of 20 are more than 1048576 elements");
  EXPECT_EQ(message([](Json& c) { c["layer_types"] = {"linear_attention"}; }),
            "config.json: layer_types: expected an array of 4 layers");
}

TEST(Qwen3NextConfig, OfAModelThatSeesTheTextPartIsRead) {
  const auto config = config_of([](Json&) {}, "qwen3_5_moe");
  EXPECT_EQ(config.architecture, "Qwen3_5MoeForConditionalGeneration");
  EXPECT_EQ(config.num_layers(), 3);
  EXPECT_FALSE(config.layer(0).delta_net.grouped);
  EXPECT_TRUE(config.layer(0).router.renormalise);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(255));
  EXPECT_TRUE(config_of([](Json& c) { c["tie_word_embeddings"] = true; }, "qwen3_5_moe").tie_word_embeddings);
  const auto message = [](const Edit& edit) { return refusal(edit, "qwen3_5_moe").message; };
  EXPECT_EQ(message([](Json& c) { c.erase("text_config"); }),
            "config.json: text_config: this field is missing");
  EXPECT_THAT(message([](Json& c) { c["text_config"]["mystery"] = 1; }), HasSubstr("text_config"));
  EXPECT_THAT(message([](Json& c) { c["text_config"]["attn_output_gate"] = false; }),
              HasSubstr("attn_output_gate"));
}

}  // namespace
}  // namespace expertscope
