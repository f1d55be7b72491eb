// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

std::unique_ptr<Tokenizer> open(const std::string& name) {
  auto tokenizer = Tokenizer::open(testing::data_folder() / "tokenizers" / name / "tokenizer.json");
  if (!tokenizer) ADD_FAILURE() << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

/// tests/data/tokenizers/awkward.jsonl: what Hugging Face tokenizers answers.
class AwkwardStrings : public ::testing::TestWithParam<const char*> {
 protected:
  std::vector<Json> rows() const {
    std::vector<Json> rows;
    std::istringstream lines(testing::read_bytes(testing::data_folder() / "tokenizers" / "awkward.jsonl"));
    for (std::string line; std::getline(lines, line);)
      rows.push_back(Json::parse(line));
    return rows;
  }
};

TEST_P(AwkwardStrings, EncodeAndDecodeAsTheReference) {
  const auto tokenizer = open(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const auto all = rows();
  EXPECT_GT(all.size(), 100u);
  for (const auto& row : all) {
    const auto text = row["text"].get<std::string>();
    const auto& expected = row[GetParam()];
    const auto full = expected["ids_with_special"].get<Ids>();
    EXPECT_EQ(tokenizer->encode(text, false), expected["ids"].get<Ids>()) << row["name"];
    EXPECT_EQ(tokenizer->encode(text, true), full) << row["name"];
    EXPECT_EQ(tokenizer->decode(full), expected["decoded"].get<std::string>()) << row["name"];
    EXPECT_EQ(tokenizer->decode(full, true), expected["decoded_skip_special"].get<std::string>())
        << row["name"];
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, AwkwardStrings,
                         ::testing::Values("qwen2_like", "gpt2_like", "llama3_like"),
                         [](const auto& suite) { return std::string(suite.param); });

/// `cases` of what they change in `base`.
void expect_ids_of_the_reference(const Json& base, const Json& cases, const std::vector<std::string>& texts) {
  for (const auto& row : cases) {
    Json json = base;
    json.update(row["overrides"]);
    const auto tokenizer = Tokenizer::parse(json.dump(), row["name"].get<std::string>());
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto ids = row["ids"][i].get<Ids>();
      EXPECT_EQ((*tokenizer)->encode(texts[i]), ids) << row["name"] << " on " << texts[i];
      EXPECT_EQ((*tokenizer)->decode(ids, true), row["decoded"][i].get<std::string>()) << row["name"];
    }
  }
}

TEST(Tokenizer, EveryPipelineGivesTheIdsOfTheReference) {
  const auto data = Json::parse(testing::read_bytes(testing::data_folder() / "text" / "pipelines.json"));
  expect_ids_of_the_reference(data["base"], data["cases"], data["texts"].get<std::vector<std::string>>());
}

TEST(Tokenizer, EveryPipelineOfCharactersGivesTheIdsOfTheReference) {
  const auto data =
      Json::parse(testing::read_bytes(testing::data_folder() / "text" / "character_pipelines.json"));
  for (const auto& group : data["groups"])
    expect_ids_of_the_reference(group["base"], group["cases"], data["texts"].get<std::vector<std::string>>());
}

TEST(Tokenizer, BothFormsOfMergesAreRead) {
  auto json = Json::parse(
      testing::read_bytes(testing::data_folder() / "tokenizers" / "qwen2_like" / "tokenizer.json"));
  const auto reference = open("qwen2_like");
  ASSERT_NE(reference, nullptr);
  for (auto& merge : json["model"]["merges"])
    merge = merge.is_array() ? Json(merge[0].get<std::string>() + " " + merge[1].get<std::string>())
                             : Json{merge.get<std::string>().substr(0, merge.get<std::string>().find(' ')),
                                    merge.get<std::string>().substr(merge.get<std::string>().find(' ') + 1)};
  const auto other = Tokenizer::parse(json.dump(), "other.json");
  ASSERT_TRUE(other) << other.error().message;
  constexpr const char* kText = "The router picks the experts.";
  EXPECT_EQ((*other)->encode(kText).value(), reference->encode(kText).value());
}

TEST(Tokenizer, TextIsTakenAsItIsWhateverItsLength) {
  const auto tokenizer = open("qwen2_like");
  ASSERT_NE(tokenizer, nullptr);
  for (const std::string& piece :
       {std::string("a"), std::string(" "), std::string("\n"), std::string("\xF0\x9F\x98\x80"),
        std::string("word "), std::string("<|im_end|>")}) {
    std::string text;
    while (text.size() < 200'000)
      text += piece;
    const auto ids = tokenizer->encode(text);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(tokenizer->decode(*ids), text) << piece;
  }
}

TEST(Tokenizer, InvalidUtf8IsAnErrorWithItsOffset) {
  const auto tokenizer = open("qwen2_like");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->encode("caf\xC3").error().message, "the text is not valid UTF-8 at byte 3");
  EXPECT_EQ(tokenizer->encode("\xED\xA0\x80").error().message, "the text is not valid UTF-8 at byte 0");
  EXPECT_EQ(tokenizer->encode("ok\xC0\xAF").error().message, "the text is not valid UTF-8 at byte 2");
}

TEST(Tokenizer, SaysWhatItPutsBeforeEveryText) {
  EXPECT_THAT(open("llama3_like")->leading_ids(), ElementsAre(564));
  EXPECT_THAT(open("qwen2_like")->leading_ids(), ::testing::IsEmpty());
}

TEST(Tokenizer, KnowsItsVocabulary) {
  const auto tokenizer = open("qwen2_like");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->vocab_size(), 612);
  EXPECT_EQ(tokenizer->find("<|im_start|>"), 601);
  EXPECT_EQ(tokenizer->find("a"), 64);
  EXPECT_EQ(tokenizer->find("no such token"), -1);
  EXPECT_TRUE(tokenizer->is_special(601));
  EXPECT_FALSE(tokenizer->is_special(607));  // <think> is added, but not special
  EXPECT_FALSE(tokenizer->is_special(-1));
  EXPECT_EQ(tokenizer->token_bytes(220), " ");
  EXPECT_EQ(tokenizer->token_bytes(602), "<|im_end|>");
  EXPECT_EQ(tokenizer->token_bytes(612), "");
  EXPECT_EQ(tokenizer->token_bytes(-5), "");
  const Ids strange = {-1, 64, 100'000, 65};
  EXPECT_EQ(tokenizer->decode(strange), "ab");
}

TEST(Tokenizer, ChatsTokeniseAsTransformersDoes) {
  const auto chats = Json::parse(testing::read_bytes(testing::data_folder() / "tokenizers" / "chat.json"));
  ASSERT_FALSE(chats.empty());
  for (const auto& chat : chats) {
    const auto tokenizer = open(chat["tokenizer"].get<std::string>());
    ASSERT_NE(tokenizer, nullptr);
    EXPECT_EQ(tokenizer->encode(chat["text"].get<std::string>(), false), chat["ids"].get<Ids>());
  }
}

}  // namespace
}  // namespace expertscope
