// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/model/config_reader.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json top1() {
  return Json::parse(testing::read_bytes(testing::data_folder() / "models" / "top1" / "config.json"));
}

/// The top1 config after a generation_config.json of this text.
ParsedConfig generating(const std::string& text) {
  auto result = parse_config(top1().dump(), "config.json");
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
  expect_defaults(parse_config(top1().dump(), "config.json")->config.generation);
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
  Json c = top1();
  c["bos_token_id"] = 151643;
  c["eos_token_id"] = {151645, 3, 151646, 151647};
  const auto result = parse_config(c.dump(), "config.json");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->config.bos_token_id, -1);
  EXPECT_THAT(result->config.eos_token_ids, ElementsAre(3));
  EXPECT_THAT(
      result->warnings,
      ElementsAre(
          "config.json: bos_token_id 151643 is outside the vocabulary of 256 and ignored.",
          "config.json: eos_token_id 151645 and 2 more are outside the vocabulary of 256 and ignored."));
}

}  // namespace
}  // namespace expertscope
