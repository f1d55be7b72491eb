// SPDX-License-Identifier: GPL-3.0-or-later
// Tokenizers as Llama 2 and Mixtral have them, made of SentencePiece's: BPE of characters, whose bytes stand
// in where a character has no token.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "engine/text/bpe.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

Json base() {
  static const std::string text =
      testing::read_bytes(testing::data_folder() / "tokenizers" / "mixtral_like" / "tokenizer.json");
  return Json::parse(text);
}

std::unique_ptr<Tokenizer> parse(const Json& json, const std::string& name = "t.json") {
  auto tokenizer = Tokenizer::parse(json.dump(), name);
  if (!tokenizer) ADD_FAILURE() << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

/// What tests/data/make_byte_fallback.py wrote.
const Json& reference() {
  static const Json data =
      Json::parse(testing::read_bytes(testing::data_folder() / "text" / "byte_fallback.json"));
  return data;
}

/// The tokenizer of a case: the base with some of its fields replaced.
std::unique_ptr<Tokenizer> tokenizer_of(const Json& row) {
  Json json = base();
  for (const auto& [key, value] : row["overrides"].items()) {
    if (key != "model") json[key] = value;
    if (key != "model") continue;
    auto& model = json["model"];
    for (const auto& [field, content] : value.items()) {
      if (field == "without") {
        for (const auto& token : content)
          model["vocab"].erase(token.get<std::string>());
      } else if (field == "merges") {
        auto& merges = model["merges"].get_ref<Json::array_t&>();
        merges.resize(content.get<std::size_t>());
      } else {
        model[field] = content;
      }
    }
  }
  return parse(json, row["name"]);
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special_tokens) {
  StreamDecoder stream(tokenizer, skip_special_tokens);
  std::string all;
  for (const auto id : ids) {
    const std::string piece = stream.push(id);
    EXPECT_EQ(find_invalid_utf8(piece), std::string::npos);
    all += piece;
  }
  return all + stream.finish();
}

TEST(ByteFallback, TextsGetTheIdsOfTheReferenceInEveryForm) {
  const auto texts = reference()["texts"].get<std::vector<std::string>>();
  ASSERT_GT(texts.size(), 200u);
  for (const auto& row : reference()["cases"]) {
    const auto tokenizer = tokenizer_of(row);
    ASSERT_NE(tokenizer, nullptr);
    for (std::size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(tokenizer->encode(texts[i]), row["ids"][i].get<Ids>()) << row["name"] << " on " << texts[i];
  }
}

TEST(ByteFallback, IdsGetTheTextsOfTheReferenceInEveryForm) {
  for (const auto& row : reference()["cases"]) {
    const auto tokenizer = tokenizer_of(row);
    ASSERT_NE(tokenizer, nullptr);
    const auto compare = [&](const Json& lists, const std::string& decoded) {
      for (std::size_t i = 0; i < lists.size(); ++i) {
        const auto ids = lists[i].get<Ids>();
        const auto where = row["name"].get<std::string>() + " on " + lists[i].dump();
        EXPECT_EQ(tokenizer->decode(ids), row[decoded][i].get<std::string>()) << where;
        EXPECT_EQ(tokenizer->decode(ids, true), row[decoded + "_skip_special"][i].get<std::string>())
            << where;
      }
    };
    compare(row["ids"], "decoded");
    compare(reference()["id_lists"], "decoded_lists");
  }
}

TEST(ByteFallback, AStreamAddsUpToTheTextWhereBytesAreCharacters) {
  for (const auto& row : reference()["cases"]) {
    const auto tokenizer = tokenizer_of(row);
    ASSERT_NE(tokenizer, nullptr);
    for (std::size_t i = 0; i < row["ids"].size(); ++i) {
      const auto ids = row["ids"][i].get<Ids>();
      for (const bool skip : {false, true}) {
        const auto text = tokenizer->decode(ids, skip);
        if (text.find("\uFFFD") != std::string::npos) continue;
        EXPECT_EQ(streamed(*tokenizer, ids, skip), text) << row["name"] << " on " << row["ids"][i].dump();
      }
    }
  }
}

TEST(ByteFallback, AStreamHoldsBackBytesUntilTheyAreACharacter) {
  const auto tokenizer = parse(base());
  ASSERT_NE(tokenizer, nullptr);
  StreamDecoder stream(*tokenizer);
  EXPECT_EQ(stream.push(tokenizer->find("<s>")), "");
  EXPECT_EQ(stream.push(tokenizer->find("▁for")), "for");  // the space that begins the text is not its own
  EXPECT_EQ(stream.push(tokenizer->find("▁for")), " for");
  EXPECT_EQ(stream.push(tokenizer->find("<0xF0>")), "");
  EXPECT_EQ(stream.push(tokenizer->find("<0x9F>")), "");
  EXPECT_EQ(stream.push(tokenizer->find("<0x98>")), "");
  EXPECT_EQ(stream.push(tokenizer->find("<0x80>")), "😀");
  EXPECT_EQ(stream.push(tokenizer->find("<0x0A>")), "\n");
  EXPECT_EQ(stream.push(tokenizer->find("<0xC3>")), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

TEST(ByteFallback, AChatGetsTheIdsOfTransformers) {
  const auto tokenizer = parse(base());
  ASSERT_NE(tokenizer, nullptr);
  const auto& chat = reference()["chat"];
  EXPECT_EQ(tokenizer->encode(chat["text"].get<std::string>(), false), chat["ids"].get<Ids>());
}

TEST(ByteFallback, TokensStandForBytes) {
  const auto tokenizer = parse(base());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("<0xE2>")), "\xE2");
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("▁for")), " for");
  EXPECT_EQ(tokenizer->leading_ids().size(), 1u);
}

TEST(ByteFallback, ATextWithoutSpacesOfTwiceTheLengthIsAtMostTwiceTheWork) {
  const auto json = base();
  const auto model = BpeModel::parse(*JsonFields::of(json, "t.json"), "model");
  ASSERT_TRUE(model) << model.error().message;
  for (const std::string unit : {"a", "the", "▁", "expertrouter", "\xC3\xA9", "\xF0\x9F\x98\x80", "\n"}) {
    const auto work = [&](std::size_t size) {
      std::string word;
      while (word.size() < size)
        word += unit;
      std::uint64_t steps = 0;
      std::vector<std::int32_t> ids;
      model->encode(word, ids, &steps);
      EXPECT_LE(steps, 3 * word.size());
      return steps;
    };
    EXPECT_LE(work(120'000), 2 * work(60'000) + 10) << unit;
  }
}

TEST(ByteFallback, AMebibyteWithoutSpacesIsOneWordAndMoreThanTwoAreRefused) {
  const auto tokenizer = parse(base());
  ASSERT_NE(tokenizer, nullptr);
  const std::string text(1u << 20, 'a');
  const auto ids = tokenizer->encode(text);
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_EQ(tokenizer->decode(*ids, true), text);
  EXPECT_THAT(tokenizer->encode(text + text + text).error().message, HasSubstr("one word in 3145731 bytes"));
}

TEST(ByteFallback, FormsThatAreNotSupportedAreNamed) {
  const auto refused = [](const std::function<void(Json&)>& edit, const std::string& why) {
    Json json = base();
    edit(json);
    const auto tokenizer = Tokenizer::parse(json.dump(), "t.json");
    ASSERT_FALSE(tokenizer) << why;
    EXPECT_THAT(tokenizer.error().message, HasSubstr(why));
  };
  const Json fuse = {{"type", "Fuse"}};
  const Json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}};
  const auto decoder = [&](Json steps, const std::string& why) {
    refused([&](Json& t) { t["decoder"] = {{"type", "Sequence"}, {"decoders", steps}}; }, why);
  };
  decoder({strip}, "t.json: decoder.decoders.type: the decoder \"Strip\" is only supported after \"Fuse\"");
  decoder({fuse, replace}, "the decoder \"Replace\" after \"Fuse\" is not supported");
  decoder({{{"type", "CTC"}}}, "the decoder \"CTC\" is not supported");
  decoder({{{"type", "ByteLevel"}}}, "\"ByteLevel\" without a ByteLevel pre-tokenizer");
  decoder(std::vector<Json>(17, replace), "more than 16 decoders that replace");
  Json other = strip;
  other["stop"] = 1;
  decoder({fuse, other}, "stop: stripping the end of a text is not supported");
  other = replace;
  other["content"] = "    ";
  decoder({other}, "content: longer than what it replaces");
  other["pattern"] = {{"Regex", "a"}};
  decoder({other}, "pattern: a Regex is not supported in a decoder");

  const auto metaspace = [&](const char* key, const Json& value, const std::string& why) {
    Json step = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", false}};
    step[key] = value;
    refused([&](Json& t) { t["pre_tokenizer"] = step; }, "pre_tokenizer." + why);
    if (std::string_view(key) != "split") refused([&](Json& t) { t["decoder"] = step; }, "decoder." + why);
  };
  metaspace("replacement", "__", "replacement: \"__\" is not one character");
  metaspace("prepend_scheme", "last", "prepend_scheme: \"last\" is not supported");
  metaspace("split", "no", "split: expected true or false");
  refused([](Json& t) { t["normalizer"] = {{"type", "ByteLevel"}}; }, "the normalizer \"ByteLevel\"");
}

}  // namespace
}  // namespace expertscope
