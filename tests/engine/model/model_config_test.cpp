// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;
using Edit = std::function<void(Json&)>;

/// A config.json of tests/data/models after an edit.
Result<ParsedConfig> parsed(const Edit& edit, const std::string& model = "top1") {
  auto json = Json::parse(testing::read_bytes(testing::data_folder() / "models" / model / "config.json"));
  edit(json);
  return parse_config(json.dump(), "config.json");
}

ModelConfig config_of(const Edit& edit, const std::string& model = "top1") {
  const auto result = parsed(edit, model);
  EXPECT_TRUE(result) << result.error().message;
  return result ? result->config : ModelConfig{};
}

Error refusal(const Edit& edit) {
  const auto result = parsed(edit);
  EXPECT_FALSE(result);
  return result ? Error{} : result.error();
}

TEST(ModelConfig, ReadsEveryField) {
  const auto config = config_of([](Json&) {});
  EXPECT_EQ(config.architecture, "Qwen3MoeForCausalLM");
  EXPECT_EQ(config.model_type, "qwen3_moe");
  EXPECT_EQ(config.vocab_size, 256);
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.num_hidden_layers, 2);
  EXPECT_EQ(config.num_attention_heads, 4);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.intermediate_size, 64);
  EXPECT_EQ(config.max_position_embeddings, 1024);
  EXPECT_EQ(config.num_experts, 4);
  EXPECT_EQ(config.num_experts_per_tok, 1);
  EXPECT_EQ(config.moe_intermediate_size, 24);
  EXPECT_FALSE(config.norm_topk_prob);
  EXPECT_FLOAT_EQ(config.rms_norm_eps, 1e-6f);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_FALSE(config.attention_bias);
  EXPECT_TRUE(config.qk_norm);
  EXPECT_THAT(config.moe_layer, ElementsAre(1, 1));
  EXPECT_THAT(config.eos_token_ids, ElementsAre(255));
  EXPECT_EQ(config.bos_token_id, 254);
}

TEST(ModelConfig, HeadDimDefaultsToAShareOfTheHiddenSize) {
  EXPECT_EQ(config_of([](Json& c) { c.erase("head_dim"); }).head_dim, 8);
  EXPECT_EQ(config_of([](Json& c) { c["head_dim"] = nullptr; }).head_dim, 8);
}

TEST(ModelConfig, BothSpellingsOfTheRotaryEmbeddingAreRead) {
  EXPECT_EQ(config_of([](Json&) {}, "v5_default").rope_theta, 1e6);
  EXPECT_EQ(config_of([](Json& c) { c.erase("rope_theta"); }).rope_theta, 10000.0);
  EXPECT_EQ(config_of([](Json& c) {
              c["rope_scaling"] = {{"type", "default"}, {"rope_theta", 5e5}};
            }).rope_theta,
            5e5);
  EXPECT_EQ(config_of([](Json& c) {
              c["rope_parameters"] = {{"rope_type", "default"}};
            }).rope_theta,
            10000.0);
}

TEST(ModelConfig, EveryOtherRotaryEmbeddingIsRefusedByName) {
  const auto message = [](const Edit& edit) {
    const auto error = refusal(edit);
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    return error.message;
  };
  for (const char* type : {"yarn", "linear", "dynamic", "llama3", "longrope", "mrope", "made-up"}) {
    EXPECT_EQ(message([&](Json& c) {
                c["rope_scaling"] = {{"rope_type", type}, {"factor", 4.0}};
              }),
              fmt::format("config.json: rope_scaling.rope_type: \"{}\" is not supported, only \"default\" is",
                          type));
    EXPECT_EQ(
        message([&](Json& c) {
          c["rope_scaling"] = {{"type", type}};
        }),
        fmt::format("config.json: rope_scaling.type: \"{}\" is not supported, only \"default\" is", type));
    EXPECT_EQ(
        message([&](Json& c) {
          c["rope_parameters"] = {{"rope_type", type}};
        }),
        fmt::format("config.json: rope_parameters.rope_type: \"{}\" is not supported, only \"default\" is",
                    type));
  }
  EXPECT_EQ(message([](Json& c) {
              c["rope_scaling"] = {{"rope_type", "default"}, {"beta_fast", 32}};
            }),
            "config.json: rope_scaling.beta_fast: this rotary embedding setting is not supported");
  EXPECT_THAT(message([](Json& c) {
                c["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}}}};
              }),
              HasSubstr("rope_parameters.full_attention"));
  EXPECT_THAT(message([](Json& c) { c["partial_rotary_factor"] = 0.5; }), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(message([](Json& c) {
                c["rope_parameters"] = {{"partial_rotary_factor", 0.25}};
              }),
              HasSubstr("rope_parameters.partial_rotary_factor"));
}

TEST(ModelConfig, SparseStepAndMlpOnlyLayersSayWhichLayersAreMoe) {
  EXPECT_THAT(config_of([](Json&) {}, "dense_layer").moe_layer, ElementsAre(1, 0, 1));
  const auto layers = [](int step, Json dense) {
    return config_of([&](Json& c) {
             c["num_hidden_layers"] = 6;
             c["decoder_sparse_step"] = step;
             c["mlp_only_layers"] = std::move(dense);
           })
        .moe_layer;
  };
  EXPECT_THAT(layers(1, Json::array()), ElementsAre(1, 1, 1, 1, 1, 1));
  EXPECT_THAT(layers(2, nullptr), ElementsAre(0, 1, 0, 1, 0, 1));
  EXPECT_THAT(layers(3, {2}), ElementsAre(0, 0, 0, 0, 0, 1));
  EXPECT_THAT(layers(1, {0, 5}), ElementsAre(0, 1, 1, 1, 1, 0));
  EXPECT_THAT(refusal([](Json& c) {
                c["mlp_only_layers"] = {0, 1};
              }).message,
              HasSubstr("no layer of this model is a mixture of experts"));
  EXPECT_THAT(refusal([](Json& c) { c["mlp_only_layers"] = {7}; }).message,
              HasSubstr("mlp_only_layers: 7 is outside"));
}

TEST(ModelConfig, FamiliesMaySpellAFieldDifferently) {
  EXPECT_EQ(config_of([](Json&) {}, "v5_default").num_experts, 8);  // num_local_experts
}

TEST(ModelConfig, AnUnknownArchitectureIsRefusedWithTheListOfThoseKnown) {
  const auto error = refusal([](Json& c) { c["architectures"] = {"LlamaForCausalLM"}; });
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_EQ(error.message,
            "config.json: architecture LlamaForCausalLM is not supported; supported: Qwen3MoeForCausalLM");
  EXPECT_THAT(refusal([](Json& c) { c.erase("architectures"); }).message,
              HasSubstr("architectures: this field"));
  EXPECT_THAT(refusal([](Json& c) { c["architectures"] = Json::array(); }).message,
              HasSubstr("the name of a class"));
  EXPECT_THAT(refusal([](Json& c) { c["architectures"] = {7}; }).message, HasSubstr("the name of a class"));
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

TEST(ModelConfig, FeaturesThatDoNotRunHereAreRefusedByName) {
  EXPECT_THAT(refusal([](Json& c) { c["use_sliding_window"] = true; }).message,
              HasSubstr("use_sliding_window"));
  EXPECT_THAT(refusal([](Json& c) { c["hidden_act"] = "gelu"; }).message, HasSubstr("hidden_act: \"gelu\""));
  EXPECT_THAT(refusal([](Json& c) {
                c["quantization_config"] = {{"quant_method", "fp8"}};
              }).message,
              HasSubstr("quantization_config: quantised weights (fp8)"));
  EXPECT_TRUE(parsed([](Json& c) { c["sliding_window"] = 4096; }));
  EXPECT_TRUE(parsed([](Json& c) { c["attention_dropout"] = 0.5; }));
}

TEST(ModelConfig, DamagedJsonIsRefusedWithItsPlace) {
  EXPECT_THAT(parse_config("{\"a\":", "config.json").error().message,
              HasSubstr("config.json: not valid JSON at line 1"));
  EXPECT_THAT(parse_config("{\"a\": \"\xFF\"}", "config.json").error().message, HasSubstr("not valid JSON"));
  EXPECT_THAT(parse_config("3", "config.json").error().message, HasSubstr("expected an object, found 3"));
}

TEST(GenerationConfig, OverridesTheEndTokensAndGivesTheSamplingDefaults) {
  auto result = parsed([](Json&) {});
  ASSERT_TRUE(result);
  ASSERT_TRUE(apply_generation_config(
      R"({"eos_token_id": [255, 250], "do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95})",
      "g.json", *result));
  EXPECT_THAT(result->config.eos_token_ids, ElementsAre(255, 250));
  EXPECT_EQ(result->config.bos_token_id, 254);
  EXPECT_TRUE(result->config.generation.do_sample);
  EXPECT_FLOAT_EQ(result->config.generation.temperature, 0.6f);
  EXPECT_EQ(result->config.generation.top_k, 20);
  EXPECT_FLOAT_EQ(result->config.generation.top_p, 0.95f);
  EXPECT_FLOAT_EQ(result->config.generation.repetition_penalty, 1.0f);
  ASSERT_TRUE(apply_generation_config(R"({"top_k": -1, "eos_token_id": 7})", "g.json", *result));
  EXPECT_EQ(result->config.generation.top_k, 0);
  EXPECT_THAT(result->config.eos_token_ids, ElementsAre(7));
  EXPECT_EQ(apply_generation_config(R"({"temperature": "hot"})", "g.json", *result).error().message,
            "g.json: temperature: expected a number, found \"hot\"");
}

TEST(GenerationConfig, WhatIsNotThereIsWhatTransformersTakes) {
  auto result = parsed([](Json&) {});
  ASSERT_TRUE(result);
  const auto expect_defaults = [&] {
    const GenerationDefaults& defaults = result->config.generation;
    EXPECT_FALSE(defaults.do_sample);
    EXPECT_EQ(defaults.temperature, 1.0f);
    EXPECT_EQ(defaults.top_k, 50);
    EXPECT_EQ(defaults.top_p, 1.0f);
    EXPECT_EQ(defaults.min_p, 0.0f);
    EXPECT_EQ(defaults.repetition_penalty, 1.0f);
  };
  expect_defaults();
  ASSERT_TRUE(apply_generation_config("{}", "g.json", *result));
  expect_defaults();
  ASSERT_TRUE(apply_generation_config(R"({"top_k": null, "top_p": null, "min_p": null})", "g.json", *result));
  expect_defaults();
}

TEST(GenerationConfig, GivesMinP) {
  auto result = parsed([](Json&) {});
  ASSERT_TRUE(result);
  ASSERT_TRUE(
      apply_generation_config(R"({"do_sample": true, "min_p": 0.05, "top_k": 0})", "g.json", *result));
  EXPECT_FLOAT_EQ(result->config.generation.min_p, 0.05f);
  EXPECT_EQ(result->config.generation.top_k, 0);
  EXPECT_EQ(apply_generation_config(R"({"min_p": 2})", "g.json", *result).error().message,
            "g.json: min_p: 2 is outside 0 .. 1");
}

TEST(GenerationConfig, TokensOutsideTheVocabularyAreIgnoredWithAWarning) {
  const auto result = parsed([](Json& c) {
    c["bos_token_id"] = 151643;
    c["eos_token_id"] = {151645, 3};
  });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->config.bos_token_id, -1);
  EXPECT_THAT(result->config.eos_token_ids, ElementsAre(3));
  EXPECT_THAT(
      result->warnings,
      ElementsAre("config.json: bos_token_id 151643 is outside the vocabulary of 256 and is ignored.",
                  "config.json: eos_token_id 151645 is outside the vocabulary of 256 and is ignored."));
}

TEST(Architecture, TensorNamesCarryTheirIndices) {
  const auto row = find_architecture("Qwen3MoeForCausalLM", "config.json");
  ASSERT_TRUE(row);
  EXPECT_EQ(tensor_name((*row)->tensors.expert_up_proj, 3, 127), "model.layers.3.mlp.experts.127.up_proj");
  EXPECT_EQ(tensor_name((*row)->tensors.norm), "model.norm.weight");
}

}  // namespace
}  // namespace expertscope
