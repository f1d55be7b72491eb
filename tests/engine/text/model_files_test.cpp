// SPDX-License-Identifier: GPL-3.0-or-later
// tokenizer.model of SentencePiece and ranks of tiktoken, held to what their packages give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/text/ranked_bpe.h"
#include "engine/text/tokenizer.h"
#include "tests/support/model_folder.h"
#include "tests/support/temporary_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;
using Json = nlohmann::json;

std::filesystem::path file_of(const std::string& name) {
  const auto folder = testing::data_folder() / "tokenizers" / "models" / name;
  return folder / (name == "tiktoken" ? "tiktoken.model" : "tokenizer.model");
}

std::unique_ptr<Tokenizer> open(const std::string& name) {
  auto tokenizer = Tokenizer::open(file_of(name));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

class ModelFile : public ::testing::TestWithParam<const char*> {};

TEST_P(ModelFile, GivesTheIdsOfItsPackage) {
  const auto tokenizer = open(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const auto rows = Json::parse(testing::read_bytes(file_of(GetParam()).parent_path() / "expected.json"));
  ASSERT_GT(rows.size(), 40u);
  for (const auto& row : rows) {
    const auto text = row["text"].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text, false), row["ids"].get<Ids>()) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(ModelFiles, ModelFile,
                         ::testing::Values("bpe_llama", "bpe_gemma", "unigram", "tiktoken"),
                         [](const auto& suite) { return std::string(suite.param); });

TEST(SentencePiece, TextsBeginWithBosAndComeBack) {
  const auto tokenizer = open("bpe_llama");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->leading_ids().size(), 1u);
  EXPECT_EQ(tokenizer->find("<s>"), tokenizer->leading_ids()[0]);
  EXPECT_TRUE(tokenizer->is_special(tokenizer->find("</s>")));
  for (const std::string text : {"The router  picks", " two\n\nlines ", "é 路由 \U0001f600"})
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text).value(), true), text);
}

TEST(SentencePiece, PiecesOfTheUserStayWhole) {
  const auto tokenizer = open("bpe_gemma");
  ASSERT_NE(tokenizer, nullptr);
  const auto ids = tokenizer->encode("a<|x|>don't12", false).value();
  for (const char* piece : {"<|x|>", "don't", "12"})
    EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer->find(piece)), 1) << piece;
}

TEST(Tiktoken, IdsAfterTheRanksAreThoseThatItsClassNames) {
  const auto tokenizer = open("tiktoken");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->find("[BOS]"), 700);
  EXPECT_EQ(tokenizer->find("<|im_end|>"), 709);
  EXPECT_EQ(tokenizer->find("<|reserved_token_708|>"), 708);
  EXPECT_EQ(tokenizer->vocab_size(), 700 + 256);
  EXPECT_EQ(tokenizer->encode("a<|im_end|>").value().back(), 709);
}

class Folder {
 public:
  /// Why a file of this name is refused.
  std::string refusal(const std::string& name, const std::string& bytes, const std::string& config = "{}") {
    std::ofstream(folder_ / "tokenizer_config.json") << config;
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    const auto tokenizer = Tokenizer::open(folder_ / name);
    return tokenizer ? std::string() : tokenizer.error().message;
  }

 private:
  testing::TemporaryFolder folder_;
};

TEST(Tiktoken, WhatIsNotKnownOrNotWellIsNamed) {
  Folder folder;
  const std::string known = R"({"tokenizer_class": "QWenTokenizer"})";
  const std::string ranks = "YQ== 0\nYg== 1\n";
  EXPECT_EQ(folder.refusal("qwen.tiktoken", ranks, known), "");
  EXPECT_EQ(folder.refusal("qwen.tiktoken", ranks, R"({"pat_str": "\\w"})"), "");
  EXPECT_THAT(folder.refusal("qwen.tiktoken", ranks), HasSubstr("has no tokenizer_class and no pat_str"));
  EXPECT_THAT(folder.refusal("qwen.tiktoken", ranks, R"({"tokenizer_class": "NewTokenizer"})"),
              HasSubstr("tokenizer_class: how \"NewTokenizer\" cuts texts"));
  const std::string where = "qwen.tiktoken: line 3: ";
  for (const char* line : {"YQ==", "YQ= 2", "Yw== x", "Yw== -1", "Yw== 4194304", " 2", "Yw== 2 3"})
    EXPECT_THAT(folder.refusal("qwen.tiktoken", ranks + line, known),
                HasSubstr(where + "not a token in base64 and its rank"))
        << line;
  EXPECT_THAT(folder.refusal("qwen.tiktoken", ranks + "YQ== 2", known),
              HasSubstr(where + "this token is there already"));
  EXPECT_THAT(folder.refusal("qwen.tiktoken", ranks + "Yw== 1", known), HasSubstr("have id 1"));
}

std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number * 8 + 2), static_cast<char>(bytes.size())} + bytes;
}
std::string number(int number, int value) {
  return {static_cast<char>(number * 8), static_cast<char>(value)};
}
/// A piece with a score of -1.
std::string piece(const std::string& text, int type = 1) {
  return field(1, field(1, text) + std::string("\x15\x00\x00\x80\xbf", 5) + number(3, type));
}

TEST(SentencePiece, WhatIsNotWellIsNamed) {
  Folder folder;
  const auto refusal = [&](const std::string& bytes) { return folder.refusal("tokenizer.model", bytes); };
  const std::string good = piece("<unk>", 2) + piece("a") + piece("b");
  EXPECT_EQ(refusal(good), "");
  EXPECT_EQ(refusal(good + field(2, number(3, 2))), "");
  EXPECT_THAT(refusal(piece("a")), HasSubstr("tokenizer.model: pieces: none is of type UNKNOWN"));
  EXPECT_THAT(refusal(good + piece("c", 9)), HasSubstr("tokenizer.model: pieces[3]: type: 9 is not known"));
  EXPECT_THAT(refusal(good + piece("")), HasSubstr("pieces[3]: piece: 0 bytes, expected 1 to 512"));
  EXPECT_THAT(refusal(good + piece("\xff")), HasSubstr("pieces[3]: piece: not UTF-8"));
  EXPECT_THAT(refusal(good + piece("a")), HasSubstr("pieces[3]: \"a\" is there twice"));
  EXPECT_THAT(refusal(good + field(1, field(1, "c") + std::string("\x15\x00\x00\xc0\x7f", 5))),
              HasSubstr("pieces[3]: score: not a finite number"));
  EXPECT_THAT(refusal(good + field(2, number(3, 3))),
              HasSubstr("trainer_spec.model_type: 3 is not supported, only UNIGRAM and BPE"));
  EXPECT_THAT(refusal(good + field(2, number(3, 2)) + piece("c", 5)),
              HasSubstr("pieces[3]: type: UNUSED is not supported in BPE"));
  EXPECT_THAT(refusal(good + field(3, number(5, 0))), HasSubstr("normalizer_spec.escape_whitespaces"));
  EXPECT_THAT(refusal(good + field(3, field(2, "abc"))),
              HasSubstr("normalizer_spec: precompiled_charsmap: too short"));
  EXPECT_THAT(refusal(good.substr(0, good.size() - 1)), HasSubstr("a field of 10 bytes, but 9 are there"));
  EXPECT_THAT(refusal(good + '\x0b'), HasSubstr("field 1 is of no kind that protobuf has"));
  EXPECT_THAT(refusal(good + std::string(12, '\xff')), HasSubstr("a number of more than 64 bits"));
  EXPECT_THAT(refusal(good + '\x80'), HasSubstr("ends in the middle of a field"));
}

TEST(RankedBpe, AWordOfTwiceTheLengthIsAtMostTwiceTheWork) {
  auto model = RankedBpe::of_bytes();
  std::int32_t rank = 0;
  for (int byte = 0; byte < 256; ++byte)
    model.add(std::string(1, static_cast<char>(byte)), std::string(1, static_cast<char>(byte)), rank, rank),
        ++rank;
  for (std::size_t length = 2; length < 300; ++length, ++rank)
    model.add(std::string(length, 'a'), std::string(length, 'a'), rank, rank);
  const auto work = [&](std::size_t size) {
    std::uint64_t steps = 0;
    Ids ids;
    model.encode(std::string(size, 'a'), ids, &steps);
    return steps;
  };
  EXPECT_LE(work(200'000), 3u * 200'000);
  EXPECT_LE(work(200'000), 2 * work(100'000) + 10);
}

}  // namespace
}  // namespace expertscope
