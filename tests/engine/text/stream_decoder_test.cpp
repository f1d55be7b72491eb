// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

class StreamDecoderTest : public ::testing::Test {
 protected:
  StreamDecoderTest() {
    auto opened = Tokenizer::open(testing::data_folder() / "tokenizers" / "qwen2_like" / "tokenizer.json");
    if (opened) tokenizer_ = std::move(*opened);
  }
  void SetUp() override { ASSERT_NE(tokenizer_, nullptr); }
  /// The token of one raw byte.
  std::int32_t byte_token(char byte) const {
    for (std::int32_t id = 0; id < 256; ++id)
      if (tokenizer_->token_bytes(id) == std::string(1, byte)) return id;
    return -1;
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(StreamDecoderTest, HoldsBackUnfinishedCharacters) {
  StreamDecoder decoder(*tokenizer_);
  EXPECT_EQ(decoder.push(byte_token('\xF0')), "");
  EXPECT_EQ(decoder.push(byte_token('\x9F')), "");
  EXPECT_EQ(decoder.push(byte_token('\x98')), "");
  EXPECT_EQ(decoder.push(byte_token('\x80')), "😀");
  EXPECT_EQ(decoder.finish(), "");
}

TEST_F(StreamDecoderTest, GivesUpOnBytesThatCannotBecomeACharacter) {
  StreamDecoder decoder(*tokenizer_);
  EXPECT_EQ(decoder.push(byte_token('\xC3')), "");
  EXPECT_EQ(decoder.push(byte_token('A')), "\uFFFDA");
  EXPECT_EQ(decoder.push(byte_token('\xFF')), "\uFFFD");
  EXPECT_EQ(decoder.push(byte_token('\xE2')), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST_F(StreamDecoderTest, PiecesAreValidAndAddUpToTheWholeText) {
  const std::string text = "naïve 路由器 👩‍💻 <|im_end|> done";
  const auto ids = tokenizer_->encode(text);
  ASSERT_TRUE(ids);
  StreamDecoder decoder(*tokenizer_, false);
  std::string all;
  for (const auto id : *ids) {
    const std::string piece = decoder.push(id);
    EXPECT_EQ(find_invalid_utf8(piece), std::string::npos);
    all += piece;
  }
  all += decoder.finish();
  EXPECT_EQ(all, tokenizer_->decode(*ids));
}

TEST_F(StreamDecoderTest, SpecialTokensAreSkippedOnRequest) {
  const auto end = tokenizer_->find("<|im_end|>");
  EXPECT_EQ(StreamDecoder(*tokenizer_, true).push(end), "");
  EXPECT_EQ(StreamDecoder(*tokenizer_, false).push(end), "<|im_end|>");
  EXPECT_EQ(StreamDecoder(*tokenizer_).push(-1), "");
}

}  // namespace
}  // namespace expertscope
