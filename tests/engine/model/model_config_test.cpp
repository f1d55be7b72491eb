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
  EXPECT_THAT(config.moe_layer, ElementsAre(1, 0));
}

TEST(ModelConfig, FamiliesMaySpellAFieldDifferently) {
  EXPECT_EQ(config_of([](Json&) {}, "v5_default").num_experts, 8);  // num_local_experts
}

TEST(ModelConfig, AnUnknownArchitectureIsRefusedWithTheListOfThoseKnown) {
  const auto error = refusal([](Json& c) { c["architectures"] = {"LlamaForCausalLM"}; });
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_EQ(error.message,
            "config.json: architecture LlamaForCausalLM is not supported; supported: Qwen3MoeForCausalLM");
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
  EXPECT_EQ(with(R"("head_dim_scale": 1, "partial_rotary_factor": NaN)").error().message,
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

TEST(ModelConfig, QuantisedWeightsAreRefusedByTheNameOfTheirKind) {
  const auto said = [](const char* key, Json value) {
    return refusal([&](Json& c) { c[key] = std::move(value); }).message;
  };
  EXPECT_EQ(
      said("quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}),
      "config.json: quantization_config: the weights are quantised (GPTQ), which is not supported; open the "
      "folder of the original model, with BF16, F16 or F32 weights");
  const auto kind = [&](Json value) { return said("quantization_config", std::move(value)); };
  EXPECT_THAT(kind({{"quant_method", "awq"}}), HasSubstr("(AWQ)"));
  EXPECT_THAT(kind({{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}}), HasSubstr("(FP8)"));
  EXPECT_THAT(kind({{"quant_method", "mxfp4"}}), HasSubstr("(MXFP4)"));
  EXPECT_THAT(kind({{"load_in_4bit", true}}), HasSubstr("(bitsandbytes)"));
  EXPECT_THAT(kind({{"quant_method", "compressed-tensors"}}), HasSubstr("(\"compressed-tensors\")"));
  EXPECT_THAT(said("quantization", {{"group_size", 64}, {"bits", 4}}),
              HasSubstr("quantization: the weights are quantised (MLX)"));
  EXPECT_THAT(kind(Json::object()), HasSubstr("(in a way that is not named)"));
  EXPECT_TRUE(parsed([](Json& c) { c["quantization_config"] = nullptr; }));
}

TEST(ModelConfig, DamagedJsonIsRefusedWithItsPlace) {
  EXPECT_THAT(parse_config("{\"a\":", "config.json").error().message,
              HasSubstr("config.json: not valid JSON at line 1"));
  EXPECT_THAT(parse_config("{\"a\": \"\xFF\"}", "config.json").error().message, HasSubstr("not valid JSON"));
  EXPECT_THAT(parse_config("3", "config.json").error().message, HasSubstr("expected an object, found 3"));
}

/// The top1 config after a generation_config.json of this text.
ParsedConfig generating(const std::string& text) {
  auto result = parsed([](Json&) {});
  EXPECT_TRUE(result);
  apply_generation_config(text, "g.json", *result);
  return std::move(*result);
}

void expect_defaults(const GenerationDefaults& defaults) {
  EXPECT_FALSE(defaults.do_sample);
  EXPECT_EQ(defaults.temperature, 1.0f);
  EXPECT_EQ(defaults.top_k, 50);
  EXPECT_EQ(defaults.top_p, 1.0f);
  EXPECT_EQ(defaults.min_p, 0.0f);
  EXPECT_EQ(defaults.repetition_penalty, 1.0f);
}

TEST(GenerationConfig, OverridesTheEndTokensAndGivesTheSamplingDefaults) {
  const auto result = generating(
      R"({"eos_token_id": [255, 250], "do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95})");
  EXPECT_THAT(result.config.eos_token_ids, ElementsAre(255, 250));
  EXPECT_EQ(result.config.bos_token_id, 254);
  EXPECT_TRUE(result.config.generation.do_sample);
  EXPECT_FLOAT_EQ(result.config.generation.temperature, 0.6f);
  EXPECT_EQ(result.config.generation.top_k, 20);
  EXPECT_FLOAT_EQ(result.config.generation.top_p, 0.95f);
  EXPECT_FLOAT_EQ(result.config.generation.repetition_penalty, 1.0f);
  EXPECT_THAT(result.warnings, IsEmpty());
  const auto off = generating(R"({"top_k": -1, "eos_token_id": 7})");
  EXPECT_EQ(off.config.generation.top_k, 0);
  EXPECT_THAT(off.config.eos_token_ids, ElementsAre(7));
}

TEST(GenerationConfig, WhatIsNotThereIsWhatTransformersTakes) {
  expect_defaults(parsed([](Json&) {})->config.generation);
  expect_defaults(generating("{}").config.generation);
  expect_defaults(generating(R"({"top_k": null, "top_p": null, "min_p": null})").config.generation);
}

TEST(GenerationConfig, GivesMinP) {
  const auto result = generating(R"({"do_sample": true, "min_p": 0.05, "top_k": 0})");
  EXPECT_FLOAT_EQ(result.config.generation.min_p, 0.05f);
  EXPECT_EQ(result.config.generation.top_k, 0);
}

TEST(GenerationConfig, AValueThatIsWrongIsNamedAndTheDefaultUsedAndTheOthersCount) {
  const auto result = generating(
      R"({"do_sample": "yes", "temperature": "0.7", "top_k": 2.5, "top_p": NaN, "min_p": 2, "repetition_penalty": 1.5})");
  EXPECT_THAT(
      result.warnings,
      ElementsAre("g.json: do_sample: expected true or false, found \"yes\"; the default, false, is used.",
                  "g.json: temperature: expected a number, found \"0.7\"; the default, 1, is used.",
                  "g.json: top_k: expected an integer, found 2.5; the default, 50, is used.",
                  "g.json: top_p: expected a number, found \"NaN\"; the default, 1, is used.",
                  "g.json: min_p: 2 is outside 0 .. 1; the default, 0, is used."));
  EXPECT_FLOAT_EQ(result.config.generation.repetition_penalty, 1.5f);
  EXPECT_EQ(result.config.generation.temperature, 1.0f);
  const auto eos = generating(R"({"eos_token_id": "</s>", "do_sample": true})");
  EXPECT_THAT(eos.warnings, ElementsAre("g.json: eos_token_id: expected an integer, found \"</s>\"; what "
                                        "config.json says is used."));
  EXPECT_THAT(eos.config.eos_token_ids, ElementsAre(255));
  EXPECT_TRUE(eos.config.generation.do_sample);
}

TEST(GenerationConfig, ADamagedFileIsNamedAndNothingOfItIsUsed) {
  for (const char* text :
       {"{\"temperature\": 0.7,}", "", "[]", "version https://git-lfs.github.com/spec/v1"}) {
    const auto result = generating(text);
    expect_defaults(result.config.generation);
    ASSERT_EQ(result.warnings.size(), 1u) << text;
    EXPECT_THAT(result.warnings.front(), ::testing::StartsWith("g.json: "));
    EXPECT_THAT(result.warnings.front(), ::testing::EndsWith("; its settings are not used."));
  }
}

TEST(GenerationConfig, WhatChangesTheTextAndIsNotSupportedIsNamed) {
  EXPECT_THAT(generating(R"({"no_repeat_ngram_size": 3, "suppress_tokens": [1, 2], "bad_words_ids": [[7]],
                             "num_beams": 4, "typical_p": 0.9, "guidance_scale": 1.5})")
                  .warnings,
              ElementsAre("g.json: not supported and without effect here: num_beams (4), typical_p (0.9), "
                          "no_repeat_ngram_size (3), bad_words_ids ([[7]]), suppress_tokens ([1,2]), "
                          "guidance_scale (1.5)."));
  // The defaults of GenerationConfig 5.24, as to_dict gives them, and what does not change the text.
  EXPECT_THAT(generating(R"({"min_length": 0, "early_stopping": false, "num_beams": 1, "typical_p": 1.0,
      "length_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "bad_words_ids": null,
      "forced_bos_token_id": null, "remove_invalid_values": false, "suppress_tokens": [], "diversity_penalty": 0.0,
      "num_beam_groups": 1, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "encoder_repetition_penalty": 1.0,
      "token_healing": false, "guidance_scale": null, "max_new_tokens": 2048, "use_cache": true,
      "pad_token_id": 3, "transformers_version": "5.24.0", "output_scores": true})")
                  .warnings,
              IsEmpty());
}

TEST(GenerationConfig, ManyEndTokensAreCountedOnceAndBounded) {
  Json ids = Json::array();
  for (int i = 0; i < 3000; ++i)
    ids.push_back(i % 100);
  EXPECT_EQ(generating(Json{{"eos_token_id", ids}}.dump()).config.eos_token_ids.size(), 100u);
  for (int i = 0; i < 3000; ++i)
    ids.push_back(i + 1000);
  EXPECT_THAT(
      generating(Json{{"eos_token_id", ids}}.dump()).warnings,
      ElementsAre("g.json: eos_token_id: 3100 ids end a text, more than the 1024 that are allowed; what "
                  "config.json says is used."));
}

TEST(GenerationConfig, TokensOutsideTheVocabularyAreIgnoredWithAWarning) {
  const auto result = parsed([](Json& c) {
    c["bos_token_id"] = 151643;
    c["eos_token_id"] = {151645, 3, 151646, 151647};
  });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->config.bos_token_id, -1);
  EXPECT_THAT(result->config.eos_token_ids, ElementsAre(3));
  EXPECT_THAT(
      result->warnings,
      ElementsAre(
          "config.json: bos_token_id 151643 is outside the vocabulary of 256 and ignored.",
          "config.json: eos_token_id 151645 and 2 more are outside the vocabulary of 256 and ignored."));
}

TEST(Architecture, TensorNamesCarryTheirIndices) {
  const auto row = find_architecture("Qwen3MoeForCausalLM", "config.json");
  ASSERT_TRUE(row);
  EXPECT_EQ(tensor_name((*row)->tensors.expert_up_proj, 3, 127), "model.layers.3.mlp.experts.127.up_proj");
  EXPECT_EQ(tensor_name((*row)->tensors.norm), "model.norm.weight");
}

}  // namespace
}  // namespace expertscope
