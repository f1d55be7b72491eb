// SPDX-License-Identifier: GPL-3.0-or-later
// What is done about BOS, for tokenizers that put one first, put EOS last, or add nothing.
#include "probes/measure/text_perplexity.h"

#include <gmock/gmock.h>

#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr int kEndOfText = 600;  ///< of the model's tokenizer
constexpr int kImEnd = 602;

/// The step of a template that adds a special token.
Json token(const std::string& content) {
  return {{"SpecialToken", {{"id", content}, {"type_id", 0}}}};
}

Json special(const std::string& content, int id) {
  return {{"id", content}, {"ids", {id}}, {"tokens", {content}}};
}

const Json kText = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};

/// Scores a short text with the model top8 whose tokenizer adds what `steps` say and whose config.json has no
/// bos_token_id.
TextPerplexity score(PerplexityProtocol protocol, const Json& steps) {
  const testing::ModelFolder folder("top8");
  for (const char* config : {"config.json", "generation_config.json"})
    folder.edit_json(config, [](Json& json) { json.erase("bos_token_id"); });
  folder.edit_json("tokenizer.json", [&](Json& json) {
    json["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", steps},
                              {"pair", Json::array()},
                              {"special_tokens",
                               {{"<|endoftext|>", special("<|endoftext|>", kEndOfText)},
                                {"<|im_end|>", special("<|im_end|>", kImEnd)}}}};
  });
  const auto model = Model::open(folder.path());
  EXPECT_TRUE(model) << model.error().message;
  BackendOptions options;
  options.math = MathMode::f32;
  options.threads = 1;
  options.max_context = 16;
  const auto session = Session::create(*model, options);
  EXPECT_TRUE(session) << session.error().message;
  Dataset data;
  data.name = "text";
  data.documents.push_back(
      {"The router picks the experts, and every expert runs for the tokens it was given.", ""});
  TextPerplexityOptions asked;
  asked.protocol = protocol;
  asked.context = 8;
  const auto scored = text_perplexity(**session, data, asked);
  EXPECT_TRUE(scored) << scored.error().message;
  return *scored;
}

TEST(TextPerplexity, ABosThatTheTokenizerPutsFirstBeginsEveryWindow) {
  const TextPerplexity scored =
      score(PerplexityProtocol::llamacpp, Json::array({token("<|endoftext|>"), kText}));
  EXPECT_EQ(scored.options.bos_token_id, kEndOfText);
  EXPECT_EQ(scored.bos_policy, "token 600 in place of the first token of every window");
}

TEST(TextPerplexity, AnEosBehindTheTextIsNotTakenForABos) {
  const TextPerplexity scored =
      score(PerplexityProtocol::llamacpp, Json::array({kText, token("<|im_end|>")}));
  EXPECT_EQ(scored.options.bos_token_id, -1);
  EXPECT_THAT(scored.bos_policy, StartsWith("none"));
}

TEST(TextPerplexity, HfScoresTheTextAsItIsEncoded) {
  const TextPerplexity scored = score(PerplexityProtocol::hf, Json::array({token("<|endoftext|>"), kText}));
  EXPECT_EQ(scored.options.bos_token_id, -1) << "it is among the tokens already";
  EXPECT_EQ(scored.bos_policy, "token 600 once, before the text");
}

}  // namespace
}  // namespace expertscope
