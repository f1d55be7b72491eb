// SPDX-License-Identifier: GPL-3.0-or-later
// Every byte a token can hold has a picture.
#include "views/models/token_text.h"

#include <gtest/gtest.h>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

TEST(VisibleTokenText, ShowsSpacesAtTheEndsAndLeavesTheOnesInside) {
  EXPECT_EQ(visible_token_text(" the"), QStringLiteral("·the"));
  EXPECT_EQ(visible_token_text("a b "), QStringLiteral("a b·"));
  EXPECT_EQ(visible_token_text("   "), QStringLiteral("···"));
}

TEST(VisibleTokenText, DrawsControlCharacters) {
  EXPECT_EQ(visible_token_text("\n\n"), QStringLiteral("↵↵"));
  EXPECT_EQ(visible_token_text("\tx"), QStringLiteral("⇥x"));
  EXPECT_EQ(visible_token_text(std::string_view("\0\x1b\x7f", 3)), QStringLiteral("\\x00\\x1b\\x7f"));
}

TEST(VisibleTokenText, KeepsWholeCharactersOfAnyScript) {
  EXPECT_EQ(visible_token_text("für"), QStringLiteral("für"));
  EXPECT_EQ(visible_token_text("日本"), QStringLiteral("日本"));
  EXPECT_EQ(visible_token_text("\xf0\x9f\x98\x80"), QStringLiteral("😀"));
}

TEST(VisibleTokenText, SpellsOutBytesThatAreNotACharacter) {
  EXPECT_EQ(visible_token_text("\xf0\x9f"), QStringLiteral("\\xf0\\x9f"));
  EXPECT_EQ(visible_token_text("a\xff"), QStringLiteral("a\\xff"));
  EXPECT_EQ(visible_token_text("\x80"), QStringLiteral("\\x80"));
}

TEST(VisibleTokenText, IsEmptyOnlyForNoBytes) {
  EXPECT_TRUE(visible_token_text("").isEmpty());
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    EXPECT_FALSE(visible_token_text(std::string_view(&c, 1)).isEmpty()) << "byte " << byte;
  }
}

TEST(VisibleTokenText, ShowsInvisibleUnicodeCharacters) {
  EXPECT_EQ(visible_token_text("\xe2\x80\x8b"), QStringLiteral("\\u200b"));          // zero width space
  EXPECT_EQ(visible_token_text("\xef\xbb\xbf"), QStringLiteral("\\xef\\xbb\\xbf"));  // byte order mark
  EXPECT_EQ(visible_token_text("\xe2\x80\x8d"), QStringLiteral("\\u200d"));          // joiner on its own
  EXPECT_EQ(visible_token_text("👩‍💻"), QStringLiteral("👩‍💻"));
  EXPECT_EQ(visible_token_text("\xc2\xa0"), QStringLiteral("\\u00a0"));  // no-break space
}

TEST(VisibleTokenText, ShowsWhatHidesOutsideTheBasicPlane) {
  EXPECT_EQ(visible_token_text("a\U000e0041"), QStringLiteral("a\\udb40\\udc41"));  // a tag
  EXPECT_EQ(visible_token_text("\u202eab"), QStringLiteral("\\u202eab"));
}

TEST(RunningText, SpellsOutWhatReversesIt) {
  EXPECT_EQ(running_text("a\u202eb"), QStringLiteral("a\\u202eb"));
}

TEST(RunningText, KeepsSpacesAndReplacesWhatIsNoText) {
  EXPECT_EQ(running_text(" the end\n"), QStringLiteral(" the end↵"));
  EXPECT_EQ(running_text("a\xff"
                         "b"),
            QStringLiteral("a\ufffd"
                           "b"));
}

}  // namespace
}  // namespace expertscope::testing
