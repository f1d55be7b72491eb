// SPDX-License-Identifier: GPL-3.0-or-later
// Templates come with models: whatever one asks for must end in an error, not in a full stack, a full memory
// or a hang. What would hang does not come back here; nothing is timed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/jinja/parser.h"

namespace expertscope::jinja {
namespace {

using ::testing::HasSubstr;

std::string render(const std::string& source) {
  const auto block = parse(source);
  if (!block) return block.error().message;
  Environment env(Fields{});
  run_block(*block, env);
  return env.failed() ? "error: " + env.error_message() : env.take_output();
}

std::string repeat(std::string_view text, std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i)
    all += text;
  return all;
}

const std::string kTooManySteps = "error: it takes too many steps";
const std::string kTooDeep = "error: lists or mappings nest too deeply";
const std::string kTooManyOperators = "an expression of more than 256 operators is not understood";

/// Sets ns.x to `letter` 2^23 times, half of what a string may have.
std::string long_string(const std::string& letter = "a") {
  return "{% set ns = namespace(x='" + letter +
         "') %}{% for i in range(23) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
}

TEST(JinjaLimits, AChainOfOperatorsIsRefused) {
  for (const std::string link :
       {"+1", "-1", "~1", "*1", " and 1", " or 1", "|trim", ".b", "[0]", " is none", " is not none"})
    EXPECT_EQ(render("\n{{ x" + repeat(link, 50'000) + " }}"), "line 2: " + kTooManyOperators) << link;
  EXPECT_EQ(render("{% for y in x" + repeat("+1", 50'000) + " %}{% endfor %}"),
            "line 1: " + kTooManyOperators);
  EXPECT_EQ(render("{% set y = x" + repeat("|trim", 200'000) + " %}"), "line 1: " + kTooManyOperators);
}

TEST(JinjaLimits, AChainThatParenthesesAndArgumentsInterruptIsRefused) {
  std::string source = "1";
  for (int i = 0; i < 30; ++i)
    source = "(" + source + repeat("+1", 50) + ")";
  EXPECT_EQ(render("{{ " + source + " }}"), "line 1: " + kTooManyOperators);
  EXPECT_EQ(render("{{ [1" + repeat("+1", 200) + "][0" + repeat("+0", 200) + "] }}"),
            "line 1: " + kTooManyOperators);
}

TEST(JinjaLimits, EveryExpressionMayHave256Operators) {
  const std::string sum = "{{ 0" + repeat("+1", 256) + " }}";
  EXPECT_EQ(render(sum + sum + "{% for x in range(1" + repeat("+0", 255) + ") %}x{% endfor %}"), "256256x");
}

/// Macros, blocks and operators at once must fit in the stack.
TEST(JinjaLimits, TheDeepestEvaluationThatIsAllowedFitsInTheStack) {
  const auto nested = [](std::size_t operators) {
    const std::string body = repeat("{% for i in [1] %}{% if true %}", 29) + "{{ m()" +
                             repeat("~1", operators) + " }}" + repeat("{% endif %}{% endfor %}", 29);
    return render("{% macro m() %}" + body + "{% endmacro %}" + body);
  };
  EXPECT_EQ(nested(50), "error: macros call each other too deeply");
  EXPECT_EQ(nested(256), "error: expressions nest too deeply");
}

TEST(JinjaLimits, LoopsCannotBeChained) {
  const std::string start = "{% set ns = namespace(l=1) %}{% for k in range(30000) %}";
  EXPECT_EQ(
      render(start + "{% for i in [ns.l, 1] %}{% if loop.last %}{% set ns.l = loop %}{% endif %}{% endfor %}"
                     "{% endfor %}"),
      kTooDeep);
  EXPECT_EQ(render(start + "{% set loop.chain = ns.l %}{% set ns.l = loop %}{% endfor %}"),
            "error: a field of something that is not a namespace is set");
  EXPECT_EQ(
      render(start + "{% for i in [namespace(l=ns.l), 1] %}{% if loop.last %}{% set ns.l = loop %}{% endif %}"
                     "{% endfor %}{% endfor %}"),
      kTooManySteps);
  EXPECT_EQ(render(start + "{% set ns.l = [ns.l] %}{% endfor %}"), kTooDeep);
  EXPECT_EQ(render(start + "{% set ns.l = {'x': ns.l} %}{% endfor %}"), kTooDeep);
}

TEST(JinjaLimits, SplitIsChargedForEveryPart) {
  EXPECT_EQ(render(long_string() + "{{ ns.x.split('a') | length }}"), "error: a list grows too long");
  EXPECT_EQ(render(long_string() + "{% set y = ns.x.replace('a', 'aaa') %}"),
            "error: a string grows too long");
  EXPECT_EQ(render("{% set x = 'ab'.split('b') %}{% for i in range(60000) %}{% for j in range(99) %}"
                   "{% set y = 'abababababab'.split('b') %}{% endfor %}{% endfor %}"),
            kTooManySteps);
}

TEST(JinjaLimits, EqualityIsChargedForEveryElement) {
  const std::string lists =
      "{% set ns = namespace(a=[range(100000)], b=[range(100000)]) %}{% for i in range(16) %}"
      "{% set ns.a = ns.a + ns.a %}{% set ns.b = ns.b + ns.b %}{% endfor %}";
  EXPECT_EQ(render(lists + "{{ ns.a == ns.b }}"), kTooManySteps);
  EXPECT_EQ(render(lists + "{{ range(100000) in ns.a }}"), "True");
  EXPECT_EQ(render(lists + "{{ [range(100000), 1] in ns.a }}"), "False");
  EXPECT_EQ(render(lists + "{{ ns.a == ns.a }}"), "True");
  const std::string strings = long_string() +
                              "{% set ns.l = [ns.x ~ 'b'] %}{% for i in range(16) %}"
                              "{% set ns.l = ns.l + ns.l %}{% endfor %}";
  EXPECT_EQ(render(strings + "{{ ns.x ~ 'c' in ns.l }}"), kTooManySteps);
}

TEST(JinjaLimits, SearchingTakesLinearTime) {
  const std::string needle = "{% set n = ns.x ~ 'b' %}";
  EXPECT_EQ(render(long_string() + needle + "{{ n in ns.x ~ ns.x }}"), "False");
  EXPECT_EQ(render(long_string() + needle + "{% set t = ns.x ~ ns.x %}{{ t.split(n) | length }}"), "1");
  EXPECT_EQ(render(long_string() + needle + "{% set t = ns.x ~ ns.x %}{{ t.replace(n, '') | length }}"),
            "16777216");
  EXPECT_EQ(render(long_string() + "{{ ns.x.strip(ns.x ~ 'b') }}|"), "|");
}

TEST(JinjaLimits, WhatGivesLittleIsChargedForWhatItReads) {
  const auto often = [](const std::string& setup, const std::string& body) {
    return render(setup + "{% for i in range(250) %}{% for j in range(250) %}" + repeat(body, 50) +
                  "{% endfor %}{% endfor %}");
  };
  EXPECT_EQ(often(long_string(), "{% if ns.x | length == 0 %}{% endif %}"), kTooManySteps);
  EXPECT_EQ(often(long_string(" "), "{% set y = ns.x | trim %}"), kTooManySteps);
  EXPECT_EQ(often(long_string(), "{% set y %}{{ ns.x }}{% endset %}"), kTooManySteps);
  EXPECT_EQ(often("{% set l = [range(100000)] %}", "{% set y = [l[0], l[0]] %}"), kTooManySteps);
  EXPECT_EQ(often("", "{% if 0 %}" + repeat("{% elif 0 %}", 300) + "{% endif %}"), kTooManySteps);
  EXPECT_EQ(often(repeat("{% macro m() %}{% endmacro %}", 20'000), "{% set y = range(0) %}"), kTooManySteps);
}

TEST(JinjaLimits, ACallHasAtMost64Arguments) {
  EXPECT_THAT(render("{{ range(" + repeat("1,", 100'000) + ") }}"),
              HasSubstr("a call with more than 64 arguments is not understood"));
  std::string parameters;
  for (int i = 0; i < 65; ++i)
    parameters += "p" + std::to_string(i) + ",";
  EXPECT_THAT(render("{% macro m(" + parameters + ") %}{% endmacro %}"),
              HasSubstr("a macro with more than 64 parameters is not understood"));
}

}  // namespace
}  // namespace expertscope::jinja
