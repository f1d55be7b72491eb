// SPDX-License-Identifier: GPL-3.0-or-later
// Every way in which a tokenizer.json can be wrong or beyond us is refused by file, field and reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "engine/text/tokenizer.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Json base() {
  static const std::string text =
      testing::read_bytes(testing::data_folder() / "tokenizers" / "qwen2_like" / "tokenizer.json");
  return Json::parse(text);
}

/// The error with which an edited copy of a good file is refused.
Error refusal(const std::function<void(Json&)>& edit) {
  Json json = base();
  edit(json);
  const auto tokenizer = Tokenizer::parse(json.dump(), "t.json");
  EXPECT_FALSE(tokenizer);
  return tokenizer ? Error{} : tokenizer.error();
}

TEST(TokenizerErrors, DamagedFiles) {
  EXPECT_THAT(Tokenizer::parse("{\"model\"", "t.json").error().message,
              HasSubstr("t.json: not valid JSON at line 1"));
  EXPECT_THAT(Tokenizer::parse("[]", "t.json").error().message, HasSubstr("expected an object, found []"));
  EXPECT_EQ(Tokenizer::parse("{}", "t.json").error().message, "t.json: model: this field is missing");
  EXPECT_THAT(Tokenizer::open("/no/such/tokenizer.json").error().message, HasSubstr("cannot be opened"));
}

TEST(TokenizerErrors, VocabularyAndMerges) {
  EXPECT_EQ(refusal([](Json& t) { t["model"]["vocab"]["a"] = -1; }).message,
            "t.json: model.vocab.a: -1 is outside 0 .. 4194303");
  EXPECT_THAT(refusal([](Json& t) { t["model"]["vocab"]["a"] = 99'999'999; }).message,
              HasSubstr("is outside"));
  EXPECT_THAT(refusal([](Json& t) { t["model"]["vocab"]["a"] = "x"; }).message,
              HasSubstr("expected an integer"));
  EXPECT_THAT(refusal([](Json& t) { t["model"]["vocab"]["a"] = 65; }).message,
              HasSubstr("two vocabulary entries have id 65"));
  EXPECT_THAT(refusal([](Json& t) { t["model"]["merges"][0] = "a b c"; }).message,
              HasSubstr("t.json: model.merges: entry 0 is not a pair: \"a b c\""));
  EXPECT_THAT(refusal([](Json& t) {
                t["model"]["merges"][1] = Json{"a", 3};
              }).message,
              HasSubstr("not a pair"));
  EXPECT_THAT(refusal([](Json& t) {
                t["model"]["merges"][2] = Json{"zzz", "a"};
              }).message,
              HasSubstr("entry 2 needs \"zzz\", which is not in the vocabulary"));
  EXPECT_THAT(refusal([](Json& t) { t["model"]["unk_token"] = "<nope>"; }).message,
              HasSubstr("model.unk_token: \"<nope>\" is not in the vocabulary"));
}

TEST(TokenizerErrors, AddedTokens) {
  EXPECT_THAT(refusal([](Json& t) { t["added_tokens"][0]["id"] = 5'000'000; }).message,
              HasSubstr("t.json: added_tokens[0].id: 5000000 is outside"));
  EXPECT_THAT(refusal([](Json& t) { t["added_tokens"][3].erase("content"); }).message,
              HasSubstr("added_tokens[3].content: this field is missing"));
  EXPECT_THAT(refusal([](Json& t) { t["added_tokens"][1]["special"] = "yes"; }).message,
              HasSubstr("expected true or false"));
}

TEST(TokenizerErrors, PartsThatAreNotSupportedAreNamed) {
  const auto unsupported = [](const std::function<void(Json&)>& edit, const std::string& part) {
    const auto error = refusal(edit);
    EXPECT_EQ(error.code, ErrorCode::unsupported) << error.message;
    EXPECT_THAT(error.message, HasSubstr(part));
  };
  unsupported([](Json& t) { t["model"]["type"] = "Unigram"; },
              "model.type: \"Unigram\" with a ByteLevel pre-tokenizer, only BPE");
  unsupported(
      [](Json& t) {
        t["model"]["type"] = "WordPiece";
        t["pre_tokenizer"] = nullptr;
      },
      "model.type: \"WordPiece\" is not supported, only BPE and Unigram");
  unsupported([](Json& t) { t["model"]["byte_fallback"] = true; }, "model.byte_fallback: not supported");
  unsupported([](Json& t) { t["model"]["dropout"] = 0.1; }, "model.dropout");
  unsupported([](Json& t) { t["model"]["continuing_subword_prefix"] = "##"; },
              "model.continuing_subword_prefix");
  unsupported([](Json& t) { t["normalizer"]["type"] = "BertNormalizer"; },
              "normalizer.type: the normalizer \"BertNormalizer\"");
  unsupported(
      [](Json& t) {
        t["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}};
      },
      "\"ByteLevel\" without a ByteLevel pre-tokenizer");
  unsupported(
      [](Json& t) {
        t["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
      },
      "the pre-tokenizer \"BertPreTokenizer\"");
  unsupported([](Json& t) { t["pre_tokenizer"] = nullptr; },
              "\"ByteLevel\" without a ByteLevel pre-tokenizer");
  unsupported([](Json& t) { t["pre_tokenizer"]["pretokenizers"].erase(1); },
              "\"ByteLevel\" without a ByteLevel pre-tokenizer");
  unsupported(
      [](Json& t) {
        t["pre_tokenizer"]["pretokenizers"].push_back({{"type", "Digits"}});
      },
      "\"Digits\" after ByteLevel");
  unsupported([](Json& t) { t["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Odd"; },
              "behavior: \"Odd\"");
  unsupported([](Json& t) { t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(unclosed"; },
              "a group without its closing parenthesis is not supported in a pattern");
  unsupported([](Json& t) { t["decoder"]["type"] = "WordPiece"; }, "the decoder \"WordPiece\"");
  unsupported([](Json& t) { t["post_processor"]["type"] = "BertProcessing"; },
              "the post-processor \"BertProcessing\"");
}

TEST(TokenizerErrors, ATemplateMustKeepTheTextAndKnowItsTokens) {
  const auto with_template = [](Json single) {
    return refusal([&](Json& t) {
             t["post_processor"] = {
                 {"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", Json::object()}};
           })
        .message;
  };
  EXPECT_THAT(with_template(Json::array()), HasSubstr("the template drops the text"));
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  EXPECT_THAT(with_template({text, text}), HasSubstr("two sequences"));
  EXPECT_THAT(with_template({text, {{"SpecialToken", {{"id", "<s>"}}}}}),
              HasSubstr("special_tokens.<s>: this field"));
}

TEST(TokenizerErrors, ATemplateAddsNoIdOutsideTheVocabulary) {
  EXPECT_EQ(refusal([](Json& t) {
              t["post_processor"] = {
                  {"type", "TemplateProcessing"},
                  {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
                  {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {0, 100'000}}}}}}};
            }).message,
            "t.json: post_processor.special_tokens.<s>.ids: 100000 is not in the vocabulary");
}

Json special_token(const std::string& name) {
  return {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
}

TEST(TokenizerErrors, ATemplateAddsAtMost1024Tokens) {
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const auto with_template = [&](std::size_t ids, std::size_t before, std::size_t after) {
    Json json = base();
    Json single = Json::array();
    for (std::size_t i = 0; i < before; ++i)
      single.push_back(special_token("<s>"));
    single.push_back(text);
    for (std::size_t i = 0; i < after; ++i)
      single.push_back(special_token("<s>"));
    const Json specials = {{"<s>", {{"id", "<s>"}, {"ids", std::vector<int>(ids, 600)}}}};
    json["post_processor"] = {
        {"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", specials}};
    return json;
  };
  const auto opened = Tokenizer::parse(with_template(512, 1, 1).dump(), "t.json");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ((*opened)->encode("")->size(), 1024);

  const auto message = [](const Json& json) {
    return Tokenizer::parse(json.dump(), "t.json").error().message;
  };
  const std::string refused = "t.json: post_processor.single: the template adds more than 1024 tokens";
  EXPECT_EQ(message(with_template(513, 1, 1)), refused);
  EXPECT_EQ(message(with_template(20'000, 20'000, 0)), refused);
  Json twice = with_template(600, 1, 0);
  twice["post_processor"] = {{"type", "Sequence"},
                             {"processors", {twice["post_processor"], twice["post_processor"]}}};
  EXPECT_EQ(message(twice),
            "t.json: post_processor.processors.single: the template adds more than 1024 tokens");
}

Json replacing(const std::string& text, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{"String", text}}}, {"content", content}};
}

TEST(TokenizerErrors, ANormalizerDoesNotGrowATextWithoutBounds) {
  const std::string grows = "t.json: normalizer: a text of 1 bytes grows to more than 272";
  const auto with_normalizer = [](const Json& normalizer) {
    return refusal([&](Json& t) {
             t["normalizer"] = normalizer;
             t["added_tokens"] = {{{"id", 64}, {"content", "a"}, {"normalized", true}}};
           })
        .message;
  };
  const Json doubling = replacing("a", "aa");
  EXPECT_EQ(with_normalizer({{"type", "Sequence"}, {"normalizers", std::vector<Json>(40, doubling)}}), grows);
  EXPECT_EQ(with_normalizer(replacing("a", std::string(300, 'b'))), grows);
  EXPECT_EQ(with_normalizer({{"type", "Prepend"}, {"prepend", std::string(300, 'b')}}), grows);
  const Json prepend = {{"type", "Prepend"}, {"prepend", std::string(20, 'b')}};
  EXPECT_EQ(with_normalizer({{"type", "Sequence"}, {"normalizers", std::vector<Json>(40, prepend)}}), grows);

  Json json = base();
  json["added_tokens"] = Json::array();
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::vector<Json>(40, doubling)}};
  const auto tokenizer = Tokenizer::parse(json.dump(), "t.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->encode("xyza").error().message,
            "t.json: normalizer: a text of 4 bytes grows to more than 320");
}

TEST(TokenizerErrors, UnicodeNormalisationStaysWithinTheBounds) {
  Json json = base();
  json["normalizer"] = {{"type", "NFKC"}};
  const auto tokenizer = Tokenizer::parse(json.dump(), "t.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += "\uFDFA";  // becomes 18 characters, the most of any
  const auto ids = (*tokenizer)->encode(text);
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_GT((*tokenizer)->decode(*ids).size(), 10 * text.size());
}

TEST(TokenizerErrors, AddedTokensAreBounded) {
  const auto with_tokens = [](std::size_t bytes, bool normalized) {
    return refusal([&](Json& t) {
             t["added_tokens"] = {
                 {{"id", 0}, {"content", "<|x|>"}, {"normalized", normalized}},
                 {{"id", 1}, {"content", std::string(bytes, 'a')}, {"normalized", normalized}}};
           })
        .message;
  };
  const std::string refused = "t.json: added_tokens: the added tokens take more than 2097152 bytes";
  EXPECT_EQ(with_tokens(2u << 20, true), refused);
  EXPECT_EQ(with_tokens(2u << 20, false), refused);
}

TEST(TokenizerErrors, AddedTokensAreCounted) {
  const Json token = {{"id", 1}, {"content", ""}};
  EXPECT_EQ(refusal([&](Json& t) { t["added_tokens"] = std::vector<Json>((1u << 17) + 1, token); }).message,
            "t.json: added_tokens: more than 131072 added tokens, with those of other files");
}

TEST(TokenizerErrors, AWordThatIsTooLongToBeMergedIsRefusedWithTheWayOut) {
  const auto tokenizer = Tokenizer::parse(base().dump(), "t.json");
  ASSERT_TRUE(tokenizer);
  constexpr std::size_t kLongest = std::size_t{2} << 20;
  std::string text = "two words " + std::string(kLongest + 1, 'a');
  EXPECT_EQ((*tokenizer)->encode(text).error().message,
            fmt::format("the tokenizer sees one word in {} bytes of the text, and a word has at most {}; "
                        "break the text up with spaces or line ends",
                        kLongest + 2, kLongest));
  text[kLongest / 2] = ' ';
  EXPECT_TRUE((*tokenizer)->encode(text));
}

TEST(TokenizerErrors, AHostilePatternEndsInAnErrorNotInAHang) {
  Json json = base();
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+$|(a|a)*c";
  const auto tokenizer = Tokenizer::parse(json.dump(), "t.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto ids = (*tokenizer)->encode(std::string(5000, 'a') + "b");
  ASSERT_FALSE(ids);
  EXPECT_THAT(ids.error().message,
              HasSubstr("t.json: pre_tokenizer.pretokenizers.pattern: the pattern backtracks too much"));
}

TEST(TokenizerErrors, TheStepsOfAPatternAreThoseOfTheWholeText) {
  Json json = base();
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?:a|a)*[bc]";
  json["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", "(?:a|a)*[bc]"}}}, {"content", "x"}};
  const auto tokenizer = Tokenizer::parse(json.dump(), "t.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::string piece = std::string(12, 'a') + "<|im_end|>";
  std::string text = piece;
  EXPECT_TRUE((*tokenizer)->encode(text));
  for (int i = 0; i < 2000; ++i)
    text += piece;
  const auto ids = (*tokenizer)->encode(text);
  ASSERT_FALSE(ids);
  EXPECT_THAT(ids.error().message, HasSubstr("pattern: the pattern backtracks too much: more than 10"));
}

TEST(TokenizerErrors, StepsThatGoOverTheTextAreBounded) {
  const auto normalizers = [](std::size_t count) {
    return refusal([&](Json& t) {
             t["normalizer"] = {{"type", "Sequence"},
                                {"normalizers", std::vector<Json>(count, {{"type", "Lowercase"}})}};
           })
        .message;
  };
  EXPECT_EQ(normalizers(64), "t.json: normalizer.normalizers.type: more than 64 normalizers");
  EXPECT_THAT(refusal([](Json& t) {
                auto& steps = t["pre_tokenizer"]["pretokenizers"];
                steps.insert(steps.begin(), 64, {{"type", "Digits"}});
              }).message,
              HasSubstr("t.json: pre_tokenizer.pretokenizers.type: more than 64 pre-tokenizers"));
}

}  // namespace
}  // namespace expertscope
