// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string parse_error(std::string_view text, DuplicateKeys duplicates = DuplicateKeys::last_wins) {
  const auto result = parse_json(text, "x.json", duplicates);
  EXPECT_FALSE(result) << text;
  return result ? "" : result.error().message;
}

/// Keeps the document alive beside the view of it.
struct Fixture {
  explicit Fixture(const char* text)
      : document(Json::parse(text)), fields(*JsonFields::of(document, "x.json")) {}
  Json document;
  JsonFields fields;
};

TEST(ParseJson, SaysWhereTheTextGoesWrong) {
  EXPECT_EQ(parse_error("{\n  \"a\": 1,\n  \"b\": }\n"), "x.json: not valid JSON at line 3, column 8");
  EXPECT_THAT(parse_error(""), HasSubstr("not valid JSON at line 1"));
  EXPECT_THAT(parse_error("{\"a\": 1} trailing"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse_error("{\"a\": \"\xff\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse_error("{\"a\": NaN}"), HasSubstr("not valid JSON"));
}

TEST(ParseJson, RefusesDeepNestingBeforeItCanHurt) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  EXPECT_EQ(parse_error(deep), "x.json: JSON is nested deeper than 100 levels");
  EXPECT_THAT(parse_error(std::string(5'000'000, '{')), HasSubstr("nested deeper"));
  const std::string brackets_in_text = "\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"";
  EXPECT_TRUE(parse_json(brackets_in_text, "x.json"));
  EXPECT_TRUE(parse_json(std::string(100, '[') + std::string(100, ']'), "x.json"));
}

TEST(ParseJson, RefusesADuplicateKeyOnRequestAtEveryDepth) {
  EXPECT_TRUE(parse_json(R"({"a": 1, "a": 2})", "x.json"));
  EXPECT_EQ(parse_error(R"({"a": 1, "a": 2})", DuplicateKeys::refuse),
            "x.json: the key \"a\" is there twice");
  EXPECT_THAT(parse_error(R"({"a": [{"b": 1, "b": 2}]})", DuplicateKeys::refuse),
              HasSubstr("\"b\" is there twice"));
  EXPECT_TRUE(parse_json(R"({"a": {"c": 1}, "b": {"c": 1}, "c": 1})", "x.json", DuplicateKeys::refuse));
}

TEST(JsonFields, ReadsEveryType) {
  const Fixture x(R"({"i": -3, "n": 0.5, "b": true, "s": "text", "l": [1, 2], "o": {"deep": 7}, "one": 5})");
  EXPECT_EQ(x.fields.integer("i", -10, 10), -3);
  EXPECT_EQ(x.fields.number("n", 0, 1), 0.5);
  EXPECT_EQ(x.fields.number("i", -5, 5), -3.0);
  EXPECT_EQ(x.fields.boolean("b"), true);
  EXPECT_EQ(x.fields.string("s"), "text");
  EXPECT_THAT(*x.fields.integers("l", 0, 9), ElementsAre(1, 2));
  EXPECT_THAT(*x.fields.integers_or_one("l", 0, 9), ElementsAre(1, 2));
  EXPECT_THAT(*x.fields.integers_or_one("one", 0, 9), ElementsAre(5));
  EXPECT_TRUE(x.fields.integers_or_one("absent", 0, 9)->empty());
  EXPECT_EQ(x.fields.object("o")->integer("deep", 0, 9), 7);
}

TEST(JsonFields, NullIsAbsent) {
  const Fixture x(R"({"a": null, "b": 1})");
  EXPECT_FALSE(x.fields.has("a"));
  EXPECT_EQ(x.fields.integer_or("a", 42, 0, 9), 42);
  EXPECT_EQ(x.fields.integer("a", 0, 9).error().message, "x.json: a: this field is missing");
  constexpr const char* kNames[] = {"zero", "a", "b"};
  EXPECT_EQ(x.fields.first_of(kNames), "b");
}

TEST(JsonFields, ErrorsNameFileFieldExpectationAndFinding) {
  const Fixture x(R"({"o": {"k": "text", "l": [1, "two"]}, "f": 1.5})");
  const auto o = x.fields.object("o");
  EXPECT_EQ(o->integer("k", 0, 9).error().message, "x.json: o.k: expected an integer, found \"text\"");
  EXPECT_EQ(o->boolean("k").error().message, "x.json: o.k: expected true or false, found \"text\"");
  EXPECT_EQ(o->integers("l", 0, 9).error().message, "x.json: o.l: expected an integer, found \"two\"");
  EXPECT_EQ(x.fields.integer("f", 0, 9).error().message, "x.json: f: expected an integer, found 1.5");
  EXPECT_EQ(x.fields.string("o").error().message,
            "x.json: o: expected a string, found {\"k\":\"text\",\"l\":[1,\"two\"]}");
  EXPECT_EQ(JsonFields::of(Json::array(), "x.json").error().message,
            "x.json: the document: expected an object, found []");
}

TEST(JsonFields, NumbersOutOfRangeAreRefusedHoweverLarge) {
  const Fixture x(R"({"a": 18446744073709551615, "b": 99999999999999999999999, "d": -1})");
  EXPECT_EQ(x.fields.integer("a", 0, INT64_MAX).error().message,
            "x.json: a: 18446744073709551615 is outside 0 .. 9223372036854775807");
  EXPECT_FALSE(x.fields.integer("b", 0, INT64_MAX));
  EXPECT_THAT(parse_error("{\"c\": 1e400}"), HasSubstr("not valid JSON at line 1, column"));
  EXPECT_EQ(x.fields.integer("d", 0, 5).error().message, "x.json: d: -1 is outside 0 .. 5");
}

TEST(JsonFields, LongValuesAreShortenedInErrors) {
  const Json value = std::string(5000, 'x');
  EXPECT_LT(json_excerpt(value).size(), 100u);
}

}  // namespace
}  // namespace expertscope
