// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/utf8.h"

#include <gtest/gtest.h>

#include "engine/text/byte_alphabet.h"

namespace expertscope {
namespace {

TEST(Utf8, EveryCodePointSurvivesTheRoundTrip) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const auto step = utf8_step(text);
    ASSERT_TRUE(step.valid) << static_cast<unsigned>(c);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.length, text.size());
  }
}

TEST(Utf8, IllFormedBytesAreFoundAtTheirOffset) {
  EXPECT_EQ(find_invalid_utf8("plain"), std::string::npos);
  EXPECT_EQ(find_invalid_utf8("é\xFF"), 2u);
  EXPECT_EQ(find_invalid_utf8("\xC0\x80"), 0u);           // overlong
  EXPECT_EQ(find_invalid_utf8("a\xED\xA0\x80"), 1u);      // surrogate
  EXPECT_EQ(find_invalid_utf8("a\xF4\x90\x80\x80"), 1u);  // beyond U+10FFFF
  EXPECT_EQ(find_invalid_utf8("ab\xE2\x82"), 2u);         // cut short
}

TEST(Utf8, MaximalIllFormedPartsBecomeOneReplacementEach) {
  // The example of the Unicode standard, section 3.9, table 3-11.
  EXPECT_EQ(utf8_lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(utf8_lossy("\xF0\x80\x80\x41"), "\uFFFD\uFFFD\uFFFDA");
  EXPECT_TRUE(utf8_step("\xF0\x9F\x98").truncated);
  EXPECT_FALSE(utf8_step("\xF0\x9F\x41").truncated);
}

TEST(Utf8, WordsAndSpacesAreThoseOfTheReference) {
  for (const char32_t c : {U'a', U'é', U'中', U'_', U'1', U'\u0301', U'\u200d', U'\u24b6'})
    EXPECT_TRUE(is_word_character(c)) << static_cast<unsigned>(c);
  for (const char32_t c : {U' ', U'.', U'²', U'\u2603', U'-'})
    EXPECT_FALSE(is_word_character(c)) << static_cast<unsigned>(c);
  EXPECT_TRUE(is_white_space(U'\u3000'));
  EXPECT_FALSE(is_white_space(U'\u200b'));
  EXPECT_TRUE(is_numeric(U'Ⅳ'));
}

TEST(Utf8, CharactersNewerThanTheLibraryAreKnown) {
  // Unicode 15 and 16, as Digits and single_word of tokenizers 0.23 take them.
  EXPECT_TRUE(is_numeric(U'\U00011f50'));
  EXPECT_TRUE(is_numeric(U'\U0001e4f0'));
  EXPECT_TRUE(is_word_character(U'\u1c89'));
  EXPECT_TRUE(is_word_character(U'\U00031350'));
  EXPECT_FALSE(is_word_character(U'\U0001fae8'));
  EXPECT_FALSE(is_word_character(U'\u0378'));
}

TEST(ByteAlphabet, LettersAndBytesAreOneToOne) {
  const ByteAlphabet alphabet;
  std::string all;
  for (unsigned byte = 0; byte < 256; ++byte)
    append_utf8(all, alphabet.letter(static_cast<std::uint8_t>(byte)));
  const auto bytes = alphabet.to_bytes(all);
  ASSERT_TRUE(bytes);
  for (unsigned byte = 0; byte < 256; ++byte)
    EXPECT_EQ(static_cast<std::uint8_t>((*bytes)[byte]), byte);
  EXPECT_EQ(alphabet.to_bytes("ĠtheĊ"), " the\n");
  EXPECT_EQ(alphabet.to_bytes("a b"), std::nullopt);
  EXPECT_EQ(alphabet.to_bytes("中"), std::nullopt);
}

}  // namespace
}  // namespace expertscope
