// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string parse_error(std::string_view text, DuplicateKeys duplicates = DuplicateKeys::last_wins) {
  const auto result = parse_json(text, "x.json", {.duplicates = duplicates});
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
  std::string objects;
  for (int i = 0; i < 100'000; ++i)
    objects += "{\"a\":";
  EXPECT_EQ(parse_error(objects), "x.json: JSON is nested deeper than 100 levels");
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
  EXPECT_TRUE(parse_json(R"({"a": {"c": 1}, "b": {"c": 1}, "c": 1})", "x.json",
                         {.duplicates = DuplicateKeys::refuse}));
}

TEST(ParseJson, ADocumentThatTakesTooMuchMemoryIsRefusedBeforeItDoes) {
  std::string zeros = "[0";
  for (int i = 0; i < 100'000; ++i)
    zeros += ",0";
  zeros += "]";
  EXPECT_TRUE(parse_json(zeros, "x.json"));
  const auto result = parse_json(zeros, "x.json", {.max_memory = 1 << 20});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "x.json: more than 1 MiB of JSON in memory are refused");
}

TEST(ParseJson, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  std::string zeros = "[0";
  for (int i = 0; i < 5'000; ++i)
    zeros += ",0";
  const auto result = parse_json(zeros + "]", "x.json", {.stop = stop.get_token()});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  const auto text = parse_json('"' + std::string(100'000, 'x') + '"', "x.json", {.stop = stop.get_token()});
  ASSERT_FALSE(text) << "one string";
  EXPECT_EQ(text.error().message, "Reading x.json was cancelled");
}

TEST(ParseJson, SaysWhatStandsInPlaceOfTheFile) {
  EXPECT_EQ(parse_error("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3\n"),
            "x.json: this is a Git LFS pointer, not the file itself; run \"git lfs pull\" in the folder, or "
            "download the file again");
  EXPECT_THAT(parse_error("\n<!DOCTYPE html>\n<html>"), HasSubstr("x.json: this is a web page"));
  EXPECT_THAT(parse_error("<html lang=\"en\">"), HasSubstr("this is a web page"));
  EXPECT_THAT(parse_error("Entry not found"), HasSubstr("a server that refused the download"));
  EXPECT_THAT(parse_error("Access to model org/x is restricted."), HasSubstr("ask for access"));
  EXPECT_THAT(parse_error("GGUF\3"), HasSubstr("this is a GGUF file"));
  EXPECT_THAT(parse_error("\x80\x02}q"), HasSubstr("this is a PyTorch pickle"));
}

TEST(ParsePythonJson, ReadsWhatPythonWrites) {
  const JsonRules python{.dialect = JsonDialect::python};
  const auto result = parse_json(
      R"({"a": NaN, "b": [Infinity, -Infinity], "c": "NaN \" \ud83d", "d": "\udc00\ud83d\ude00", "e": 1})",
      "x.json", python);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->dump(), R"({"a":"NaN","b":["Infinity","-Infinity"],"c":"NaN \" �","d":"�😀","e":1})");
  EXPECT_FALSE(parse_json(R"({"a": NaN})", "x.json"));
  EXPECT_FALSE(parse_json(R"({"a": "\ud83d"})", "x.json"));
  EXPECT_EQ(parse_json("{\"a\": [NaN, NaN],\n \"b\": [NaN, ]}", "x.json", python).error().message,
            "x.json: not valid JSON at line 2, column 13");
  EXPECT_FALSE(parse_json("{\"a\": \"\\ud83d", "x.json", python));
  EXPECT_FALSE(parse_json("{\"a\": NaN\\", "x.json", python));
}

TEST(ParseJsonMembers, GivesEveryMemberAwayInTheOrderOfTheText) {
  std::vector<std::string> seen;
  const auto take = [&](const std::string& key, const Json& value) -> Status {
    seen.push_back(key + "=" + value.dump());
    return {};
  };
  const auto rest =
      parse_json_members(R"({"b": {"x": [1, {}]}, "a": 2, "b": null, "c": []})", "x.json", take);
  ASSERT_TRUE(rest) << rest.error().message;
  EXPECT_EQ(rest->dump(), "{}");
  EXPECT_THAT(seen, ElementsAre(R"(b={"x":[1,{}]})", "a=2", "b=null", "c=[]"));
  EXPECT_EQ(parse_json_members("[1, {\"a\": 2}]", "x.json", take)->dump(), "[1,{\"a\":2}]");
  EXPECT_THAT(parse_json_members("{\"a\": 1, }", "x.json", take).error().message,
              HasSubstr("not valid JSON at line 1, column 10"));
}

TEST(ParseJsonMembers, EndsWithTheFirstMemberThatIsRefused) {
  int seen = 0;
  const auto refuse = [&](const std::string& key, const Json&) -> Status {
    ++seen;
    return fail(ErrorCode::mismatch, "no {}", key);
  };
  EXPECT_EQ(parse_json_members(R"({"b": 1, "a": 2})", "x.json", refuse).error().message, "no b");
  EXPECT_EQ(seen, 1);
}

TEST(ParseJsonMembers, TheBoundOfMemoryHoldsForEachMember) {
  std::string members = "{";
  for (int i = 0; i < 1000; ++i)
    members += fmt::format("\"{}\": [1, 2, 3, 4, 5, 6, 7, 8],", i);
  const JsonRules rules{.max_memory = 1000};
  const auto take = [](const std::string&, const Json&) -> Status { return {}; };
  EXPECT_TRUE(parse_json_members(members + "\"end\": 0}", "x.json", take, rules));
  EXPECT_FALSE(
      parse_json_members(members + "\"end\": [" + std::string(100, '[') + "}", "x.json", take, rules));
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
