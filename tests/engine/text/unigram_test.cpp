// SPDX-License-Identifier: GPL-3.0-or-later
// Unigram models and charsmaps of files that are not as they should be. What they give for good ones:
// character_pipelines.json.
#include "engine/text/unigram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/text/charsmap.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Json small() {
  return Json::parse(
      R"({"unk_id": 0, "vocab": [["<unk>", 0], ["a", -1], ["b", -2], ["ab", -2.5], ["aa", -1.5]]})");
}

Result<UnigramModel> parse(const Json& json) {
  return UnigramModel::parse(*JsonFields::of(json, "t.json", "model"));
}

std::vector<std::int32_t> ids_of(const std::string& word) {
  std::vector<std::int32_t> ids;
  parse(small())->encode(word, ids);
  return ids;
}

TEST(Unigram, TakesTheTokensOfTheLargestSum) {
  EXPECT_EQ(ids_of("ab"), (std::vector{3}));
  EXPECT_EQ(ids_of("aab"), (std::vector{1, 3}));  // -3.5, as is aa, b: the one that begins first stays
  EXPECT_EQ(ids_of("axyb"), (std::vector{1, 0, 2}));
  EXPECT_EQ(ids_of("é"), (std::vector{0}));
  EXPECT_TRUE(ids_of("").empty());
}

TEST(Unigram, FieldsThatAreNotAsTheyShouldBeAreNamed) {
  const auto refused = [](const std::function<void(Json&)>& edit, const std::string& why) {
    Json json = small();
    edit(json);
    const auto model = parse(json);
    ASSERT_FALSE(model) << why;
    EXPECT_THAT(model.error().message, HasSubstr(why));
  };
  refused([](Json& m) { m.erase("unk_id"); }, "t.json: model.unk_id: a Unigram model without it");
  refused([](Json& m) { m["unk_id"] = 5; }, "model.unk_id: 5 is not in the vocabulary");
  refused([](Json& m) { m["vocab"][1] = "a"; }, "model.vocab: entry 1 is not a token with a score: \"a\"");
  refused([](Json& m) { m["vocab"][1][1] = 1e300; }, "entry 1 is not a token with a score");
  refused([](Json& m) { m["vocab"][1][0] = "b"; }, "model.vocab: \"b\" is there twice");
  refused([](Json& m) { m["vocab"][1][0] = std::string(513, 'a'); }, "entry 1 has 513 bytes, more than 512");
  refused([](Json& m) { m["byte_fallback"] = 1; }, "model.byte_fallback");
}

TEST(Unigram, AWordOfTwiceTheLengthIsTwiceTheWork) {
  Json json = small();
  for (std::size_t length = 3; length <= 512; ++length)
    json["vocab"].push_back({std::string(length, 'a'), -1.0 * static_cast<double>(length)});
  const auto model = parse(json);
  ASSERT_TRUE(model) << model.error().message;
  const auto work = [&](std::size_t size) {
    std::uint64_t steps = 0;
    std::vector<std::int32_t> ids;
    model->encode(std::string(size, 'a'), ids, &steps);
    return steps;
  };
  EXPECT_LE(work(100'000), 513u * 100'000);
  EXPECT_LE(work(200'000), 2 * work(100'000) + 600 * 512);
}

std::string u32(std::uint32_t value) {
  return {static_cast<char>(value), static_cast<char>(value >> 8), static_cast<char>(value >> 16),
          static_cast<char>(value >> 24)};
}

TEST(Charsmap, WhatIsNotOneIsRefused) {
  const auto reason = [](const std::string& bytes) {
    const auto map = Charsmap::parse(bytes, "t.json: map");
    return map ? std::string() : map.error().message;
  };
  EXPECT_EQ(reason("abc"), "t.json: map: too short");
  EXPECT_EQ(reason(u32(8) + "1234"), "t.json: map: its double array has 8 bytes, but 4 are there");
  EXPECT_THAT(reason(u32(3) + "1234"), HasSubstr("has 3 bytes"));
  EXPECT_THAT(reason(u32(0)), HasSubstr("has 0 bytes"));
  EXPECT_THAT(reason(u32(4) + u32(0) + "\xff"), HasSubstr("its replacements are not UTF-8"));
}

TEST(Charsmap, PlacesOutsideItEndTheSearch) {
  for (const std::uint32_t unit : {0u, 0xFFFFFFFFu, 0x100u, 0x12345678u, 'a' | 0x100u}) {
    std::string bytes = u32(1024);
    for (int i = 0; i < 256; ++i)
      bytes += u32(unit);
    const auto map = Charsmap::parse(bytes + std::string("\xC3\xA9") + '\0', "t.json: map");
    ASSERT_TRUE(map);
    for (const std::string text : {"a", "abc", "é", "\U0001f600"})
      EXPECT_TRUE(map->apply(text, 1000)) << unit;
  }
}

TEST(Charsmap, ReplacementsStayWithinTheirBound) {
  // 'a' leads to a leaf whose value is 0: the one replacement.
  std::string bytes = u32(1024);
  for (int i = 0; i < 256; ++i)
    bytes += u32(i == 0 ? 0 : i == 'a' ? ('a' | 0x100u) : 0x80000000u);
  const auto map = Charsmap::parse(bytes + std::string(1000, 'x'), "t.json: map");
  ASSERT_TRUE(map);
  EXPECT_EQ(map->apply("b", 10), "b");
  EXPECT_FALSE(map->apply(std::string(1000, 'a'), 10'000));
}

TEST(Charsmap, Base64IsReadOrRefused) {
  EXPECT_EQ(decode_base64("AGFi/w=="), std::string("\0ab\xff", 4));
  EXPECT_EQ(decode_base64(""), "");
  for (const char* text : {"A", "AAA", "A===", "AA=A", "AA A", "AAA-"})
    EXPECT_FALSE(decode_base64(text)) << text;
}

}  // namespace
}  // namespace expertscope
