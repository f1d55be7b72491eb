// SPDX-License-Identifier: GPL-3.0-or-later
// Added tokens stand in tokenizer.json and in the files beside it; tests/data/text/added_tokens.json is what
// transformers makes of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/tokenizer.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelFolder;
using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

Json base() {
  return Json::parse(testing::read_bytes(testing::data_folder() / "tokenizers" / "bytes" / "tokenizer.json"));
}

Json token(int id, const std::string& content, bool special = true) {
  return {{"id", id}, {"content", content}, {"special", special}, {"normalized", false}};
}

/// A folder with the tokenizer of one token per byte, changed.
class DeclaredTokens : public ::testing::Test {
 protected:
  void write(const Json& overrides, const Json& config) {
    Json json = base();
    json.update(overrides);
    folder_.write("tokenizer.json", json.dump());
    folder_.write("tokenizer_config.json", config.dump());
  }
  std::unique_ptr<Tokenizer> open() {
    auto tokenizer = Tokenizer::open(folder_ / "tokenizer.json");
    if (!tokenizer) ADD_FAILURE() << tokenizer.error().message;
    return tokenizer ? std::move(*tokenizer) : nullptr;
  }
  /// What is said about a config that cannot be followed.
  std::string warning(const Json& config) {
    write(Json::object(), config);
    const auto tokenizer = open();
    if (tokenizer == nullptr || tokenizer->warnings().size() != 1) return "not one warning";
    EXPECT_EQ(tokenizer->encode("a").value(), Ids{97});
    return tokenizer->warnings().front();
  }

  ModelFolder folder_;
};

TEST_F(DeclaredTokens, AreThoseOfTransformers) {
  const auto data = Json::parse(testing::read_bytes(testing::data_folder() / "text" / "added_tokens.json"));
  const auto texts = data["texts"].get<std::vector<std::string>>();
  ASSERT_GT(data["cases"].size(), 25u);
  for (const auto& row : data["cases"]) {
    SCOPED_TRACE(row["name"]);
    write(row["overrides"], row["config"]);
    for (const char* name : {"special_tokens_map.json", "added_tokens.json"}) {
      std::filesystem::remove(folder_ / name);
      if (row["files"].contains(name)) folder_.write(name, row["files"][name].dump());
    }
    const auto tokenizer = open();
    ASSERT_NE(tokenizer, nullptr);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto ids = row["ids"][i].get<Ids>();
      EXPECT_EQ(tokenizer->encode(texts[i]).value(), ids) << texts[i];
      if (!row.contains("decoded")) continue;
      EXPECT_EQ(tokenizer->decode(ids, true), row["decoded"][i].get<std::string>()) << texts[i];
    }
  }
}

TEST_F(DeclaredTokens, InOrderAreTakenWithoutAWord) {
  write(
      {{"added_tokens", {token(256, "<x>"), token(257, "<y>")}}},
      {{"added_tokens_decoder", {{"258", token(0, "<z>")}, {"256", token(0, "<x>")}}}, {"eos_token", "<y>"}});
  const auto tokenizer = open();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(tokenizer->warnings(), IsEmpty());
  EXPECT_EQ(tokenizer->find("<z>"), 258);
  EXPECT_EQ(tokenizer->vocab_size(), 259);
}

TEST_F(DeclaredTokens, GapsInTheirIdsAreClosedWithAWarning) {
  write({{"added_tokens", {token(256, "<x>"), token(258, "<y>"), token(300, "<z>")}}},
        {{"added_tokens_decoder", {{"400", token(0, "<q>")}}}});
  const auto tokenizer = open();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->find("<y>"), 257);
  EXPECT_THAT(
      tokenizer->warnings(),
      ElementsAre(AllOf(HasSubstr("tokenizer.json: added tokens are numbered without gaps"),
                        HasSubstr("\"<y>\" has id 257, not 258 and 1 more.")),
                  AllOf(HasSubstr("tokenizer_config.json: "), HasSubstr("\"<q>\" has id 259, not 400."))));
}

TEST_F(DeclaredTokens, DuplicatesAreAWarning) {
  write({{"added_tokens", {token(256, "<x>", false), token(256, "<x>"), token(257, "<y>")}}}, Json::object());
  const auto tokenizer = open();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_TRUE(tokenizer->is_special(256));
  EXPECT_THAT(
      tokenizer->warnings(),
      ElementsAre(HasSubstr("tokenizer.json: added_tokens: \"<x>\" is there twice; the last one counts.")));
  write({{"added_tokens", {token(256, "<x>"), token(256, "<y>")}}}, Json::object());
  EXPECT_THAT(open()->warnings(), ElementsAre(HasSubstr("\"<y>\" has id 257, not 256.")));
}

TEST_F(DeclaredTokens, AnIdOfTheVocabularyAndOfAnAddedTokenIsAWarning) {
  Json json = base();
  json["model"]["vocab"]["ab"] = 257;
  write({{"model", json["model"]}, {"added_tokens", {token(257, "<x>")}}}, Json::object());
  EXPECT_THAT(open()->warnings(), ElementsAre(HasSubstr("id 257 is both \"ab\" and \"<x>\", as in")));
  json["model"]["vocab"]["ab"] = 258;
  json["model"]["vocab"]["abc"] = 259;
  write({{"model", json["model"]}, {"added_tokens", {token(258, "<x>"), token(259, "<y>")}}}, Json::object());
  EXPECT_THAT(open()->warnings(),
              ElementsAre(HasSubstr("id 258 is both \"ab\" and \"<x>\" and 1 more are such, as in")));
}

TEST_F(DeclaredTokens, OfADamagedFileAreNotUsedAndThatIsSaid) {
  const auto of = [&](const Json& tokens) { return warning({{"added_tokens_decoder", tokens}}); };
  EXPECT_THAT(of({{"256", "<x>"}}), AllOf(HasSubstr("The tokens of tokenizer_config.json are not used: "),
                                          HasSubstr("added_tokens_decoder.256: expected an object")));
  EXPECT_THAT(of({{"x", token(0, "<x>")}}), HasSubstr("added_tokens_decoder.x: expected a token id"));
  EXPECT_THAT(of({{"256", {{"special", true}}}}), HasSubstr("256.content: this field is missing"));
  EXPECT_THAT(of({{"256", {{"content", "x"}, {"lstrip", 1}}}}), HasSubstr("lstrip: expected true or false"));
  EXPECT_THAT(of(Json{1}), HasSubstr("added_tokens_decoder: expected an object, found [1]"));
  EXPECT_THAT(warning({{"eos_token", 3}}), HasSubstr("eos_token: expected a string or an object, found 3"));
  EXPECT_THAT(warning({{"extra_special_tokens", "<x>"}}), HasSubstr("expected an array"));
  folder_.write("tokenizer_config.json", "{,}");
  EXPECT_THAT(open()->warnings(), ElementsAre(HasSubstr("tokenizer_config.json: not valid JSON")));
}

TEST_F(DeclaredTokens, OfOneFileAreUsedWhereAnotherIsDamaged) {
  const auto used = [&](const char* file, const char* text) {
    write(Json::object(), {{"eos_token", "<x>"}});
    folder_.write(file, text);
    const auto tokenizer = open();
    std::filesystem::remove(folder_ / file);
    if (tokenizer == nullptr || tokenizer->warnings().size() != 1) return std::string("not one warning");
    EXPECT_EQ(tokenizer->encode("<x>").value(), Ids{256}) << file;
    return tokenizer->warnings().front();
  };
  const auto unused = [](const std::string& file) {
    return HasSubstr("The tokens of " + file + " are not used: ");
  };
  EXPECT_THAT(used("added_tokens.json", "{,}"), unused("added_tokens.json"));
  EXPECT_THAT(used("added_tokens.json", R"({"<y>": 257, "<z>": "x"})"),
              AllOf(unused("added_tokens.json"), HasSubstr("added_tokens.json: <z>: expected")));
  EXPECT_THAT(used("special_tokens_map.json", "{,}"), unused("special_tokens_map.json"));
  EXPECT_THAT(used("special_tokens_map.json", R"({"eos_token": 3})"),
              AllOf(unused("special_tokens_map.json"), HasSubstr("special_tokens_map.json: eos_token: ")));
}

TEST_F(DeclaredTokens, SplittingThemIsNotFollowedAndThatIsSaid) {
  EXPECT_THAT(warning({{"split_special_tokens", true}}), HasSubstr("split_special_tokens is not followed"));
}

}  // namespace
}  // namespace expertscope
