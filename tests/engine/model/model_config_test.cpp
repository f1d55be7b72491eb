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
using ::testing::IsEmpty;
using testing::Json;
using testing::parsed;
using testing::refusal;

TEST(ModelConfig, ReadsEveryField) {
  const auto config = config_of([](Json&) {});
  EXPECT_EQ(config.architecture, "Qwen3MoeForCausalLM");
  EXPECT_EQ(config.model_type, "qwen3_moe");
  EXPECT_EQ(config.vocab_size, 256);
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.num_layers(), 2);
  for (const LayerSpec& layer : config.layers) {
    EXPECT_EQ(layer.attention.heads, 4);
    EXPECT_EQ(layer.attention.kv_heads, 2);
    EXPECT_EQ(layer.attention.head_dim, 16);
    EXPECT_EQ(layer.attention.rotary.width, 16);
    EXPECT_EQ(layer.attention.rotary.theta, 10000.0);
    EXPECT_EQ(layer.attention.qk_norm, AttentionSpec::QkNorm::head);
    EXPECT_FALSE(layer.attention.qkv_bias);
    EXPECT_FALSE(layer.attention.output_bias);
    EXPECT_FLOAT_EQ(layer.norm.eps, 1e-6f);
    EXPECT_EQ(layer.router.experts, 4);
    EXPECT_EQ(layer.router.top_k, 1);
    EXPECT_EQ(layer.router.score, RouterSpec::Score::softmax);
    EXPECT_FALSE(layer.router.renormalise);
    EXPECT_EQ(layer.expert.width, 24);
    EXPECT_EQ(layer.dense.width, 0);
  }
  EXPECT_EQ(config.max_position_embeddings, 1024);
  EXPECT_FLOAT_EQ(config.norm.eps, 1e-6f);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(255));
  EXPECT_EQ(config.bos_token_id, 254);
}

TEST(ModelConfig, HeadDimDefaultsToAShareOfTheHiddenSize) {
  EXPECT_EQ(config_of([](Json& c) { c.erase("head_dim"); }).widest().head_dim, 8);
  EXPECT_EQ(config_of([](Json& c) { c["head_dim"] = nullptr; }).widest().head_dim, 8);
}

RotarySpec rotary_of(const Edit& edit, const std::string& model = "top1") {
  const auto config = config_of(edit, model);
  return config.layers.empty() ? RotarySpec{} : config.layers.front().attention.rotary;
}

TEST(ModelConfig, BothSpellingsOfTheRotaryEmbeddingAreRead) {
  EXPECT_EQ(rotary_of([](Json&) {}, "v5_default").theta, 1e6);
  EXPECT_EQ(rotary_of([](Json& c) { c.erase("rope_theta"); }).theta, 10000.0);
  EXPECT_EQ(rotary_of([](Json& c) {
              c["rope_scaling"] = {{"type", "default"}, {"rope_theta", 5e5}};
            }).theta,
            5e5);
  EXPECT_EQ(rotary_of([](Json& c) { c["rope_parameters"] = {{"rope_type", "default"}}; }).theta, 10000.0);
}

TEST(ModelConfig, AShareOfTheHeadMayTurn) {
  EXPECT_EQ(rotary_of([](Json& c) { c["partial_rotary_factor"] = 0.5; }).width, 8);
  EXPECT_EQ(rotary_of([](Json& c) { c["rope_parameters"] = {{"partial_rotary_factor", 0.25}}; }).width, 4);
  EXPECT_THAT(refusal([](Json& c) { c["partial_rotary_factor"] = 0.2; }).message,
              HasSubstr("3 is not an even number"));
}

TEST(ModelConfig, RotaryScalingIsReadInBothSpellings) {
  for (const char* where : {"rope_scaling", "rope_parameters"}) {
    const auto scaled = [&](Json values) {
      return rotary_of([&](Json& c) {
        c.erase("rope_theta");
        c[where] = std::move(values);
      });
    };
    const auto linear = scaled({{"type", "linear"}, {"factor", 4.0}});
    EXPECT_EQ(linear.scaling, RotaryScaling::linear);
    EXPECT_EQ(linear.factor, 4.0);
    EXPECT_EQ(scaled({{"rope_type", "dynamic"}, {"factor", 2.0}}).scaling, RotaryScaling::dynamic);
    const auto yarn = scaled({{"rope_type", "yarn"},
                              {"factor", 8.0},
                              {"original_max_position_embeddings", 128},
                              {"beta_fast", 16},
                              {"rope_theta", 5e5}});
    EXPECT_EQ(yarn.scaling, RotaryScaling::yarn);
    EXPECT_EQ(yarn.trained_positions, 128);
    EXPECT_EQ(yarn.beta_fast, 16);
    EXPECT_EQ(yarn.theta, 5e5);
    EXPECT_NEAR(yarn.magnitude, 0.1 * std::log(8.0) + 1, 1e-12);
    const auto llama3 = scaled({{"rope_type", "llama3"},
                                {"factor", 8.0},
                                {"low_freq_factor", 1.0},
                                {"high_freq_factor", 4.0},
                                {"original_max_position_embeddings", 64}});
    EXPECT_EQ(llama3.scaling, RotaryScaling::llama3);
    EXPECT_EQ(llama3.high_frequency, 4.0);
  }
}

TEST(ModelConfig, ARotaryEmbeddingThatDoesNotRunIsRefusedByName) {
  const auto message = [](const Edit& edit) { return refusal(edit).message; };
  for (const char* type : {"longrope", "mrope", "made-up"}) {
    for (const char* key : {"rope_type", "type"}) {
      EXPECT_EQ(message([&](Json& c) {
                  c["rope_scaling"] = {{key, type}, {"factor", 4.0}};
                }),
                fmt::format("config.json: rope_scaling.{}: \"{}\" is not supported, only default, linear, "
                            "dynamic, yarn and llama3 are",
                            key, type));
    }
  }
  EXPECT_EQ(
      message([](Json& c) {
        c["rope_scaling"] = {{"rope_type", "default"}, {"beta_fast", 32}};
      }),
      "config.json: rope_scaling.beta_fast: 32: this setting is not known, and the results could depend "
      "on it");
  EXPECT_THAT(message([](Json& c) {
                c["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}}}};
              }),
              HasSubstr("rope_parameters.full_attention"));
  EXPECT_EQ(message([](Json& c) {
              c["rope_scaling"] = {{"type", "linear"}};
            }),
            "config.json: rope_scaling.factor: this field is missing");
  EXPECT_THAT(
      message([](Json& c) {
        c["rope_scaling"] = {
            {"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 4.0}, {"high_freq_factor", 4.0}};
      }),
      HasSubstr("rope_scaling.high_freq_factor: it is not above low_freq_factor"));
}

TEST(ModelConfig, SparseStepAndMlpOnlyLayersSayWhichLayersAreMoe) {
  EXPECT_THAT(config_of([](Json&) {}, "dense_layer").moe_layers(), ElementsAre(1, 0, 1));
  const auto layers = [](int step, Json dense) {
    return config_of([&](Json& c) {
             c["num_hidden_layers"] = 6;
             c["decoder_sparse_step"] = step;
             c["mlp_only_layers"] = std::move(dense);
           })
        .moe_layers();
  };
  EXPECT_THAT(layers(1, Json::array()), ElementsAre(1, 1, 1, 1, 1, 1));
  EXPECT_THAT(layers(2, nullptr), ElementsAre(0, 1, 0, 1, 0, 1));
  EXPECT_THAT(layers(3, {2}), ElementsAre(0, 0, 0, 0, 0, 1));
  EXPECT_THAT(layers(1, {0, 5}), ElementsAre(0, 1, 1, 1, 1, 0));
  EXPECT_THAT(refusal([](Json& c) {
                c["mlp_only_layers"] = {0, 1};
              }).message,
              HasSubstr("no layer of this model is a mixture of experts"));
}

TEST(ModelConfig, AnIndexOfMlpOnlyLayersBeyondTheLayersIsIgnoredWithAWarning) {
  // transformers only asks whether a layer's index is in the list.
  const auto warned = [](Json dense) {
    const auto result = parsed([&](Json& c) { c["mlp_only_layers"] = std::move(dense); });
    EXPECT_TRUE(result) << result.error().message;
    return result ? result->warnings : std::vector<std::string>{};
  };
  EXPECT_THAT(warned({7}),
              ElementsAre("config.json: mlp_only_layers: index 7 beyond the 2 layers, ignored."));
  EXPECT_THAT(
      warned({-1, 2, 3, 4, 5}),
      ElementsAre("config.json: mlp_only_layers: indices -1, 2, 3 and 2 more beyond the 2 layers, ignored."));
  const auto config = config_of([](Json& c) { c["mlp_only_layers"] = {1, 99}; });
  EXPECT_THAT(config.moe_layers(), ElementsAre(1, 0));
}

TEST(ModelConfig, FamiliesMaySpellAFieldDifferently) {
  EXPECT_EQ(config_of([](Json&) {}, "v5_default").num_experts(), 8);  // num_local_experts
}

/// The windows of Dots1's layers.
std::vector<int> windows(const Edit& edit, const std::string& model) {
  std::vector<int> windows;
  for (const LayerSpec& layer : config_of(edit, model).layers)
    windows.push_back(layer.attention.window);
  return windows;
}

TEST(ModelConfig, WindowsOfDots1AreThoseOfItsConfigClass) {
  EXPECT_THAT(windows([](Json&) {}, "dots1"), ElementsAre(0, 0, 0));  // sliding_window null
  EXPECT_THAT(windows([](Json& c) { c.erase("sliding_window"); }, "dots1"), ElementsAre(0, 0, 0));
  const auto silent = [](Json& c) {
    c.erase("sliding_window");
    c["max_window_layers"] = 2;
    c["use_sliding_window"] = false;  // which the class does not read
  };
  EXPECT_THAT(windows(silent, "dots1"), ElementsAre(0, 0, 4096));
  EXPECT_THAT(windows([](Json&) {}, "dots1_window"), ElementsAre(0, 16, 16));
  EXPECT_THAT(windows([](Json& c) { c["layer_types"] = nullptr; }, "dots1_window"), ElementsAre(0, 16, 16));
  const Json types = {"sliding_attention", "full_attention", "full_attention"};
  EXPECT_THAT(windows([&](Json& c) { c["layer_types"] = types; }, "dots1_window"), ElementsAre(16, 0, 0));
}

TEST(ModelConfig, WindowsOfDots1ThatContradictThemselvesAreRefused) {
  const auto message = [](const Edit& edit) { return refusal(edit, "dots1_window").message; };
  EXPECT_EQ(message([](Json& c) { c["layer_types"].erase(0); }),
            "config.json: layer_types: expected an array of 3 layers");
  EXPECT_EQ(message([](Json& c) { c["layer_types"] = "full_attention"; }),
            "config.json: layer_types: expected an array of 3 layers");
  EXPECT_EQ(message([](Json& c) { c["layer_types"][1] = "chunked_attention"; }),
            "config.json: layer_types: \"chunked_attention\" is not supported");
  EXPECT_EQ(message([](Json& c) { c["sliding_window"] = nullptr; }),
            "config.json: sliding_window: null, but layer_types asks for one");
}

TEST(ModelConfig, FlexOlmoNormsBehindAndTurnsByABaseOfItsOwn) {
  const auto config = config_of([](Json& c) { c.erase("rope_theta"); }, "flex_olmo");
  for (const LayerSpec& layer : config.layers) {
    EXPECT_EQ(layer.attention.rotary.theta, 500000.0);
    EXPECT_FALSE(layer.norm_before);
    EXPECT_TRUE(layer.norm_after);
  }
}

TEST(ModelConfig, AnUnknownArchitectureIsRefusedWithTheListOfThoseKnown) {
  const auto error = refusal([](Json& c) { c["architectures"] = {"LlamaForCausalLM"}; });
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_EQ(error.message,
            "config.json: architecture LlamaForCausalLM is not supported; supported: "
            "DeepseekV2ForCausalLM, DeepseekV3ForCausalLM, Dots1ForCausalLM, "
            "FlexOlmoForCausalLM, "
            "Gemma4ForConditionalGeneration, Gemma4ForCausalLM, "
            "Glm4MoeForCausalLM, Glm4MoeLiteForCausalLM, "
            "GptOssForCausalLM, "
            "MixtralForCausalLM, "
            "OlmoeForCausalLM, "
            "Qwen2MoeForCausalLM, Qwen3MoeForCausalLM, Qwen3NextForCausalLM, "
            "Qwen3_5MoeForConditionalGeneration, Qwen3_5MoeForCausalLM");
  EXPECT_THAT(refusal([](Json& c) { c["architectures"] = {7}; }).message, HasSubstr("the name of a class"));
  EXPECT_THAT(refusal([](Json& c) { c["architectures"] = "Qwen3MoeForCausalLM"; }).message,
              HasSubstr("architectures: expected an array"));
}

TEST(ModelConfig, WithoutAClassTheModelTypeSaysWhatItIs) {
  for (const Json& none : {Json(nullptr), Json::array()}) {
    const auto result = parsed([&](Json& c) { c["architectures"] = none; });
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->config.architecture, "Qwen3MoeForCausalLM");
    EXPECT_THAT(result->warnings, IsEmpty());
  }
  const auto error = refusal([](Json& c) {
    c.erase("architectures");
    c["model_type"] = "llama";
  });
  EXPECT_EQ(error.message,
            "config.json: architectures: this field is missing, and model_type is none that is supported");
}

TEST(ModelConfig, ASiblingOfTheClassIsReadByItsModelTypeWithAWarning) {
  const auto result = parsed([](Json& c) { c["architectures"] = {"Qwen3MoeForSequenceClassification"}; });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->config.architecture, "Qwen3MoeForCausalLM");
  EXPECT_THAT(
      result->warnings,
      ElementsAre("config.json: architectures says \"Qwen3MoeForSequenceClassification\"; the model is "
                  "read as Qwen3MoeForCausalLM, of the same family."));
  EXPECT_THAT(refusal([](Json& c) {
                c["architectures"] = {"Qwen3MoeForSequenceClassification"};
                c["model_type"] = "qwen3";
              }).message,
              HasSubstr("architecture Qwen3MoeForSequenceClassification is not supported"));
}

TEST(ModelConfig, AModelTypeThatContradictsTheClassIsSaid) {
  const auto result = parsed([](Json& c) { c["model_type"] = "qwen2_moe"; });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->config.model_type, "qwen3_moe");
  EXPECT_THAT(result->warnings,
              ElementsAre("config.json: model_type \"qwen2_moe\" contradicts architectures; the "
                          "model is read as Qwen3MoeForCausalLM."));
  EXPECT_THAT(parsed([](Json& c) { c.erase("model_type"); })->warnings, IsEmpty());
}

TEST(ModelConfig, WhatPythonWritesBeyondJsonIsRead) {
  const auto text = testing::read_bytes(testing::data_folder() / "models" / "top1" / "config.json");
  const auto with = [&](const std::string& fields) {
    return parse_config("{" + fields + "," + text.substr(text.find('{') + 1), "config.json");
  };
  const auto result =
      with(R"("router_aux_loss_coef": NaN, "initializer_range": -Infinity, "_name_or_path": "\ud83d")");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->config.hidden_size, 32);
  EXPECT_THAT(result->warnings, IsEmpty());
  EXPECT_EQ(with(R"("partial_rotary_factor": NaN)").error().message,
            "config.json: partial_rotary_factor: expected a number, found \"NaN\"");
}

TEST(ModelConfig, NumbersThatMakeNoSenseAreRefused) {
  const auto message = [](const char* key, Json value) {
    return refusal([&](Json& c) { c[key] = std::move(value); }).message;
  };
  EXPECT_EQ(message("hidden_size", -32), "config.json: hidden_size: -32 is outside 1 .. 1048576");
  EXPECT_EQ(message("hidden_size", 0), "config.json: hidden_size: 0 is outside 1 .. 1048576");
  EXPECT_EQ(message("vocab_size", "256"), "config.json: vocab_size: expected an integer, found \"256\"");
  EXPECT_EQ(message("num_hidden_layers", 1e18),
            "config.json: num_hidden_layers: expected an integer, found 1e+18");
  EXPECT_EQ(message("num_hidden_layers", std::uint64_t{1} << 63),
            "config.json: num_hidden_layers: 9223372036854775808 is outside 1 .. 4096");
  EXPECT_EQ(message("num_experts", nullptr), "config.json: num_experts: this field is missing");
  EXPECT_EQ(message("num_key_value_heads", 3),
            "config.json: num_key_value_heads: 3 does not divide num_attention_heads 4");
  EXPECT_EQ(message("num_experts_per_tok", 5),
            "config.json: num_experts_per_tok: 5 experts per token, but only 4 experts");
  EXPECT_THAT(message("head_dim", 15), HasSubstr("15 is not an even number"));
  EXPECT_THAT(message("rms_norm_eps", -1.0), HasSubstr("rms_norm_eps: -1.0 is outside"));
  EXPECT_THAT(message("rope_theta", 0), HasSubstr("rope_theta: 0 is outside"));
  EXPECT_THAT(message("norm_topk_prob", 1), HasSubstr("expected true or false, found 1"));
  EXPECT_THAT(message("decoder_sparse_step", 0), HasSubstr("decoder_sparse_step: 0 is outside"));
}

TEST(ModelConfig, AKeyThatNobodyKnowsRefusesTheModelByNameAndValue) {
  const auto error = refusal([](Json& c) { c["attn_logit_softcapping"] = 50.0; });
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_EQ(error.message,
            "config.json: attn_logit_softcapping: 50.0: this setting is not known, and the results could "
            "depend on it");
  EXPECT_THAT(refusal([](Json& c) { c["num_shared_experts"] = 1; }).message,
              HasSubstr("num_shared_experts: 1"));
  EXPECT_TRUE(parsed([](Json& c) { c["attn_logit_softcapping"] = nullptr; }));
}

TEST(ModelConfig, ASettingWithTheValueThatTheFamilyMeansAnywayIsHarmless) {
  EXPECT_TRUE(parsed([](Json& c) {
    c["qkv_bias"] = false;
    c["use_qk_norm"] = true;
    c["shared_expert_intermediate_size"] = 0;
  }));
  EXPECT_EQ(refusal([](Json& c) { c["shared_expert_intermediate_size"] = 512; }).message,
            "config.json: shared_expert_intermediate_size: 512 is not supported");
}

TEST(ModelConfig, WhatEveryConfigHasChangesNothing) {
  // PretrainedConfig().to_dict() of transformers 4.57 and 5.24, and what training programs add.
  EXPECT_TRUE(parsed([](Json& c) {
    for (const char* key : {"_name_or_path", "transformers_version", "problem_type", "unsloth_version"})
      c[key] = "text";
    for (const char* key :
         {"return_dict", "output_hidden_states", "torchscript", "use_bfloat16", "is_decoder",
          "is_encoder_decoder", "tie_encoder_decoder", "use_cache", "do_sample"})
      c[key] = true;
    for (const char* key : {"chunk_size_feed_forward", "num_beams", "min_length", "temperature", "top_k",
                            "router_aux_loss_coef", "initializer_range", "attention_dropout"})
      c[key] = 1;
    c["pruned_heads"] = c["task_specific_params"] = Json::object();
    c["id2label"] = {{"0", "LABEL_0"}};
    c["dtype"] = c["torch_dtype"] = "bfloat16";
  }));
}

TEST(ModelConfig, FeaturesThatDoNotRunHereAreRefusedByName) {
  EXPECT_THAT(refusal([](Json& c) { c["hidden_act"] = "gelu"; }).message, HasSubstr("hidden_act: \"gelu\""));
  EXPECT_TRUE(parsed([](Json& c) { c["attention_dropout"] = 0.5; }));
}

TEST(ModelConfig, ASlidingWindowIsRefusedWhereItIsInForce) {
  // Qwen3MoeConfig.__post_init__: sliding_window is kept only with use_sliding_window; it is 4096 by default.
  const auto opens = [](Json use, Json window) {
    return parsed([&](Json& c) {
             c["use_sliding_window"] = std::move(use);
             c["sliding_window"] = std::move(window);
             c["max_window_layers"] = 1;
           })
        .has_value();
  };
  EXPECT_TRUE(opens(false, 4096));
  EXPECT_TRUE(opens(nullptr, 4096));
  EXPECT_TRUE(opens(false, nullptr));
  EXPECT_TRUE(opens(true, nullptr));
  EXPECT_FALSE(opens(true, 4096));
  EXPECT_EQ(refusal([](Json& c) {
              c.erase("sliding_window");
              c["use_sliding_window"] = true;
            }).message,
            "config.json: use_sliding_window: sliding windows are not supported");
  EXPECT_TRUE(parsed([](Json& c) { c["layer_types"] = {"full_attention", "full_attention"}; }));
  EXPECT_EQ(refusal([](Json& c) {
              c["layer_types"] = {"full_attention", "sliding_attention"};
            }).message,
            "config.json: layer_types: \"sliding_attention\" is not supported, only \"full_attention\" is");
}

TEST(ModelConfig, DamagedJsonIsRefusedWithItsPlace) {
  EXPECT_THAT(parse_config("{\"a\":", "config.json").error().message,
              HasSubstr("config.json: not valid JSON at line 1"));
  EXPECT_THAT(parse_config("{\"a\": \"\xFF\"}", "config.json").error().message, HasSubstr("not valid JSON"));
  EXPECT_THAT(parse_config("3", "config.json").error().message, HasSubstr("expected an object, found 3"));
}

TEST(Family, TensorNamesCarryTheirIndices) {
  const auto family = find_family("MixtralForCausalLM", "config.json");
  ASSERT_TRUE(family);
  EXPECT_EQ(tensor_name((*family)->tensors.expert.up_proj, 3, 127),
            "model.layers.3.block_sparse_moe.experts.127.w3");
  EXPECT_EQ(tensor_name((*family)->tensors.norm), "model.norm.weight");
}

}  // namespace
}  // namespace expertscope
