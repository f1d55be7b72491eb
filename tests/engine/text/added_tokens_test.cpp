// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace expertscope {
namespace {

using ::testing::ElementsAre;

AddedToken token(std::int32_t id, std::string content, bool lstrip = false, bool rstrip = false) {
  AddedToken result;
  result.id = id;
  result.content = std::move(content);
  result.lstrip = lstrip;
  result.rstrip = rstrip;
  return result;
}

AddedTokenFinder finder(const std::vector<AddedToken>& tokens) {
  AddedTokenFinder result;
  for (const auto& token : tokens)
    result.add(token, token.content);
  result.link();
  return result;
}

/// "3:text" for tokens, "text" for what lies between.
std::vector<std::string> pieces(const std::vector<AddedToken>& tokens, std::string_view text) {
  std::vector<std::string> result;
  for (const auto& piece : finder(tokens).find(text)) {
    result.emplace_back(text.substr(piece.begin, piece.end - piece.begin));
    if (piece.id >= 0) result.back().insert(0, std::to_string(piece.id) + ":");
  }
  return result;
}

TEST(AddedTokens, TheLeftmostIsTakenAndOfThoseTheLongest) {
  const std::vector<AddedToken> tokens = {token(1, "ab"), token(2, "abcab"), token(3, "bca")};
  EXPECT_THAT(pieces(tokens, "xabcabcab"), ElementsAre("x", "2:abcab", "c", "1:ab"));
  EXPECT_THAT(pieces(tokens, "abca"), ElementsAre("1:ab", "ca"));
  EXPECT_THAT(pieces(tokens, "xbcab"), ElementsAre("x", "3:bca", "b"));
  EXPECT_THAT(pieces({}, "ab"), ElementsAre("ab"));
  EXPECT_THAT(pieces(tokens, ""), ElementsAre());
}

TEST(AddedTokens, AmongManyEveryPlaceHasTheLongestOfThose) {
  // Against a search by comparing all tokens at every place.
  std::uint32_t state = 1;
  const auto random = [&](std::uint32_t below) {
    return (state = state * 1664525 + 1013904223) / 256 % below;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<AddedToken> tokens;
    for (std::int32_t id = 0; id < 6; ++id) {
      std::string content;
      for (std::uint32_t i = 0, length = 1 + random(5); i < length; ++i)
        content += static_cast<char>('a' + random(2));
      tokens.push_back(token(id, content));
    }
    std::string text;
    while (text.size() < 40)
      text += static_cast<char>('a' + random(3));
    const auto found = finder(tokens).find(text);
    for (std::size_t i = 0, at = 0; i < found.size(); ++i) {
      std::size_t longest = 0;
      for (; longest == 0 && at < text.size(); at += longest == 0 ? 1 : 0)
        for (const auto& candidate : tokens)
          if (text.compare(at, candidate.content.size(), candidate.content) == 0)
            longest = std::max(longest, candidate.content.size());
      if (found[i].id < 0) ++i;
      if (longest == 0) continue;
      ASSERT_LT(i, found.size()) << text;
      EXPECT_EQ(found[i].begin, at) << text;
      EXPECT_EQ(found[i].end, at + longest) << text;
      at += longest;
    }
  }
}

TEST(AddedTokens, SpacesThatATokenTookAlongAreFoundAgainAsInTheReference) {
  EXPECT_THAT(pieces({token(1, " ", false, true)}, "a   b"), ElementsAre("a", "1:   ", "1:  ", "1: ", "b"));
  EXPECT_THAT(pieces({token(1, " ", true, true)}, "a   b"), ElementsAre("a", "1:   ", "b"));
  EXPECT_THAT(pieces({token(1, " ", true, false)}, "a  b"), ElementsAre("a", "1: ", "1: ", "b"));
  EXPECT_THAT(pieces({token(1, "x", false, true), token(2, "  ")}, "x   y"),
              ElementsAre("1:x   ", "2:  ", " y"));
}

TEST(AddedTokens, TwiceTheTextIsAtMostTwiceTheWork) {
  const std::string nearly = std::string(5000, 'a') + "b";
  const std::vector<std::vector<AddedToken>> sets = {
      {token(1, " ", false, true)},
      {token(1, " ", true, false)},
      {token(1, " ", true, true)},
      {token(1, "x", true, true), token(2, "\u3000")},
      {token(1, "a"), token(2, nearly)},
      {token(1, nearly), token(2, "b" + nearly)},
      {token(1, "aa"), token(2, "aaaaaaaa"), token(3, std::string(3000, 'a') + " ")},
  };
  const std::vector<std::function<std::string(std::size_t)>> texts = {
      [](std::size_t size) { return std::string(size, ' '); },
      [](std::size_t size) { return std::string(size, 'a'); },
      [](std::size_t size) { return std::string(size / 2, ' ') + std::string(size / 2, 'x'); },
      [](std::size_t size) {
        std::string text;
        while (text.size() < size)
          text += "x  \u3000 a";
        return text;
      }};
  for (const auto& tokens : sets)
    for (const auto& text : texts) {
      std::uint64_t once = 0;
      std::uint64_t twice = 0;
      const auto search = finder(tokens);
      search.find(text(50'000), &once);
      search.find(text(100'000), &twice);
      EXPECT_GE(once, 50'000u);
      EXPECT_LE(twice, 2 * once + 100);
      EXPECT_LE(twice, 500'000u);
    }
}

}  // namespace
}  // namespace expertscope
