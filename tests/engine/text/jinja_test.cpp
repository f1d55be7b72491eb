// SPDX-License-Identifier: GPL-3.0-or-later
// The subset of Jinja that chat templates use; expected texts follow the Jinja documentation and Python.
#include <gtest/gtest.h>

#include "engine/text/jinja/parser.h"

namespace expertscope::jinja {
namespace {

std::string render(const std::string& source) {
  const auto block = parse(source);
  if (!block) return block.error().message;
  Fields globals;
  globals["items"] = List{std::string("a"), std::string("b"), std::string("c")};
  globals["word"] = std::string("Expert");
  globals["three"] = std::int64_t{3};
  globals["pair"] = Fields{{"k", std::string("v")}};
  globals["same_pair"] = Fields{{"k", std::string("v")}};
  globals["other_pair"] = Fields{{"k", std::string("w")}};
  Environment env(std::move(globals));
  run_block(*block, env);
  return env.failed() ? "error: " + env.error_message() : env.take_output();
}

TEST(Jinja, OperatorsBindAsInPython) {
  EXPECT_EQ(render("{{ 1 + 2 * 3 - 4 }}"), "3");
  EXPECT_EQ(render("{{ (1 + 2) * 3 }}"), "9");
  EXPECT_EQ(render("{{ -7 // 2 }} {{ -7 % 2 }} {{ 7 // -2 }}"), "-4 1 -4");
  EXPECT_EQ(render("{{ 1 ~ 2 + '3' }}"), "123");
  EXPECT_EQ(render("{{ not 1 == 2 and 'b' in items }}"), "True");
  EXPECT_EQ(render("{{ 'x' not in word or false }}"), "False");
  EXPECT_EQ(render("{{ 'yes' if three > 2 else 'no' }}{{ 'never' if three < 2 }}"), "yes");
  EXPECT_EQ(render("{{ none or 'fallback' }}"), "fallback");
}

TEST(Jinja, TestsAndFiltersBindTighterThanComparisons) {
  EXPECT_EQ(render("{{ missing is defined }} {{ word is string }} {{ word is not none }}"),
            "False True True");
  EXPECT_EQ(render("{{ items | length == 3 }} {{ ' x ' | trim + '!' }}"), "True x!");
  EXPECT_EQ(render("{{ items | first }}{{ items | last }}{{ missing | default('d') }}{{ word | upper }}"),
            "acdEXPERT");
}

TEST(Jinja, ListsAreSlicedAsInPython) {
  EXPECT_EQ(render("{% for x in items[::-1] %}{{ x }}{% endfor %}"), "cba");
  EXPECT_EQ(
      render("{% for x in items[1:] %}{{ x }}{% endfor %}|{% for x in items[:-1] %}{{ x }}{% endfor %}"),
      "bc|ab");
  EXPECT_EQ(render("{% for x in items[-99:99:2] %}{{ x }}{% endfor %}"), "ac");
  EXPECT_EQ(render("{{ items[-1] }}{{ items[7] }}"), "c");
}

TEST(Jinja, LoopsKnowWhereTheyAre) {
  EXPECT_EQ(render("{% for x in items %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% endfor %}"),
            "1a,2b,3c");
  EXPECT_EQ(render("{% for x in items if x != 'b' %}{{ loop.index0 }}{{ x }}{% endfor %}"), "0a1c");
  EXPECT_EQ(render("{% for x in [] %}{{ x }}{% else %}empty{% endfor %}"), "empty");
  EXPECT_EQ(render("{% for x in range(1, 6, 2) %}{{ x }}{% endfor %}"), "135");
}

TEST(Jinja, ALoopHasItsOwnScopeAndANamespaceEscapesIt) {
  EXPECT_EQ(render("{% set x = 1 %}{% for i in items %}{% set x = 2 %}{% endfor %}{{ x }}"), "1");
  EXPECT_EQ(
      render("{% set n = namespace(x=1) %}{% for i in items %}{% set n.x = n.x + 1 %}{% endfor %}{{ n.x }}"),
      "4");
  EXPECT_EQ(render("{% if true %}{% set y = 'kept' %}{% endif %}{{ y }}"), "kept");
}

TEST(Jinja, OnlyANamespaceCanBeWrittenTo) {
  const std::string refused = "error: a field of something that is not a namespace is set";
  EXPECT_EQ(render("{% for x in items %}{% set loop.y = 1 %}{% endfor %}"), refused);
  EXPECT_EQ(render("{% set pair.k = 1 %}"), refused);
  EXPECT_EQ(render("{% set missing.k = 1 %}"), refused);
  EXPECT_EQ(render("{% set n = namespace() %}{% set n.x = 1 %}{{ n.x }}{{ n['x'] }}{{ n.y is defined }}"),
            "11False");
}

TEST(Jinja, ALoopCanBeKeptUnderAnotherName) {
  EXPECT_EQ(
      render(
          "{% for x in items %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} "
          "{% endfor %}{% endfor %}"),
      "11 12 21 22 31 32 ");
  EXPECT_EQ(render("{% for x in items %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}"),
            "<a>b a<b>c b<c> ");
  EXPECT_EQ(render("{% for x in items %}{{ loop is mapping }}{{ loop is iterable }}{{ loop is sequence }}"
                   "{{ loop.depth }}{{ loop.depth0 }} {% endfor %}"),
            "FalseTrueFalse10 FalseTrueFalse10 FalseTrueFalse10 ");
}

TEST(Jinja, EqualityIsThatOfPython) {
  EXPECT_EQ(render("{{ true == 1 }} {{ 1 in [true] }} {{ '1' == 1 }} {{ 0 == false }}"),
            "True True False True");
  EXPECT_EQ(
      render("{{ [1, [2]] == [1, [2]] }} {{ [1, [2]] == [1, [3]] }} {{ [1] == [1, 2] }} {{ [] == pair }}"),
      "True False False False");
  EXPECT_EQ(render("{{ pair == same_pair }} {{ pair == other_pair }} {{ pair != other_pair }} {{ pair in "
                   "[same_pair] }}"),
            "True False True True");
  EXPECT_EQ(render("{% set n = namespace() %}{{ n == n }} {{ n == namespace() }} {{ 'yes' if n else 'no' }}"),
            "True False yes");
  EXPECT_EQ(render("{{ missing == missing }} {{ missing == none }} {{ none == none }}"), "True False True");
}

TEST(Jinja, DefaultReplacesWhatIsUndefinedAndWithItsSecondArgumentWhatIsFalse) {
  EXPECT_EQ(
      render("{{ missing | default('x') }}{{ missing | default }}{{ missing | default(default_value='y') }}"),
      "xy");
  EXPECT_EQ(render("{{ '' | default('x') }}{{ none | default('x') }}{{ 0 | default('x', false) }}"), "None0");
  EXPECT_EQ(
      render("{{ '' | default('x', true) }}{{ none | default('y', boolean=true) }}{{ 0 | default('z', 1) }}"),
      "xyz");
  EXPECT_EQ(render("{{ 'a' | default('x', true) }}{{ missing | default(boolean=true) }}"), "a");
}

TEST(Jinja, ArgumentsAreHonouredOrRefused) {
  EXPECT_EQ(render("{{ 'xax' | trim('x') }}{{ 'xax' | trim(chars='x') }}{{ ' a ' | trim(none) }}"), "aaa");
  EXPECT_EQ(render("{{ 'a,b'.split(sep=',')[1] }}"), "b");
  EXPECT_EQ(render("{{ pair.get('k') }} {{ pair.get('z') }} {{ pair.get('z', 2) }}"), "v None 2");
  EXPECT_EQ(render("{{ missing | default('x', foo=1) }}"), "error: the argument \"foo\" of default()");
  EXPECT_EQ(render("{{ missing | default('x', default_value='y') }}"),
            "error: the argument \"default_value\" of default() is there twice");
  EXPECT_EQ(render("{{ items | length(3) }}"), "error: too many arguments for length()");
  EXPECT_EQ(render("{{ 'ab'.startswith('b', 1) }}"), "error: too many arguments for startswith()");
  EXPECT_EQ(render("{{ 'aXb'.replace('X', '-', 0) }}{{ 'aXbX'.replace('X', '-', count=1) }}"), "aXba-bX");
  EXPECT_EQ(render("{{ 'a'.replace('X') }}"), "error: replace() needs more arguments");
  EXPECT_EQ(render("{{ 'ab'.strip(chars='a') }}"), "error: the argument \"chars\" of strip()");
  EXPECT_EQ(render("{{ 'a b c'.split(' ', maxsplit=1) }}"), "['a', 'b c']");
  EXPECT_EQ(render("{{ 'a b'.split(' ', limit=1) }}"), "error: the argument \"limit\" of split()");
  EXPECT_EQ(render("{{ pair.get('k', default=1) }}"), "error: the argument \"default\" of get()");
  EXPECT_EQ(render("{{ range(stop=3) }}"), "error: the argument \"stop\" of range()");
  EXPECT_EQ(render("{{ namespace(3) }}"), "error: namespace() of something without a name");
  EXPECT_EQ(render("{{ raise_exception() }}"), "error: raise_exception() needs more arguments");
  EXPECT_EQ(render("{{ range(a=1, a=2) }}"), "line 1: the argument \"a\", there twice, is not understood");
  EXPECT_EQ(render("{{ range(a=1, 2) }}"),
            "line 1: an argument without a name after one with a name is not understood");
}

TEST(Jinja, MacrosTakeTheirArgumentsAsInPython) {
  const std::string macro = "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}";
  EXPECT_EQ(render(macro + "{{ m(1) }}|{{ m(b=2) }}|{{ m(1, b=3) }}|{{ m(b=5, a=4) }}"), "11|2|13|45");
  EXPECT_EQ(render(macro + "{{ m(1, 2, 3) }}"), "error: too many arguments for m()");
  EXPECT_EQ(render(macro + "{{ m(1, c=3) }}"), "error: the argument \"c\" of m()");
  EXPECT_EQ(render(macro + "{{ m(1, a=3) }}"), "error: the argument \"a\" of m() is there twice");
  EXPECT_EQ(render("{% macro m(a=raise_exception('no')) %}{{ a }}{% endmacro %}{{ m(1) }}"), "1");
  EXPECT_EQ(render("{% macro m(a, a) %}{% endmacro %}"),
            "line 1: the parameter \"a\", there twice, is not understood");
}

TEST(Jinja, AMacroSeesTheGlobalsAndNotItsCaller) {
  EXPECT_EQ(
      render("{% set g = 1 %}{% macro m() %}{{ g }}{{ x is defined }}{{ loop is defined }} {% endmacro %}"
             "{% for x in [7, 8] %}{{ m() }}{% endfor %}"),
      "1FalseFalse 1FalseFalse ");
  EXPECT_EQ(render("{% for x in items %}{% macro m() %}{{ x }}{% endmacro %}{% endfor %}"),
            "error: a macro inside a loop or a macro");
}

TEST(Jinja, ListsAndMappingsAreWrittenAsInPython) {
  EXPECT_EQ(render("{{ items }}"), "['a', 'b', 'c']");
  EXPECT_EQ(render("{{ 'a' ~ items }}"), "a['a', 'b', 'c']");
  EXPECT_EQ(render("{{ raise_exception(items) }}"), "error: ['a', 'b', 'c']");
  EXPECT_EQ(render("{{ pair }}{{ pair.items() }}{{ () }}{{ (1,) }}{{ (1, 2) }}{{ {} }}"),
            "{'k': 'v'}[('k', 'v')]()(1,)(1, 2){}");
  EXPECT_EQ(render("{{ [1, 1.0, true, none, missing, {'a': [0.5]}] | string }}"),
            "[1, 1.0, True, None, Undefined, {'a': [0.5]}]");
  EXPECT_EQ(render(R"({{ ["it's", 'a "b"', "'\"", "\n\t\\é\u200b\x07"] }})"),
            R"(["it's", 'a "b"', '\'"', '\n\t\\é\u200b\x07'])");
}

TEST(Jinja, ObjectsAreNotPrintedSilently) {
  EXPECT_EQ(render("{{ namespace() }}"), "error: an object as text");
  EXPECT_EQ(render("{{ [namespace()] }}"), "error: an object as text");
  EXPECT_EQ(render("{{ 'a'.upper }}"), "error: an object as text");
  EXPECT_EQ(render("{% for x in items %}{{ loop }}{% endfor %}"), "error: an object as text");
  EXPECT_EQ(render("{{ missing }}{{ missing ~ 'x' ~ none ~ true ~ 3 }}{{ none | string }}"),
            "xNoneTrue3None");
}

TEST(Jinja, TestsKnowWhatUndefinedAndTrueAre) {
  EXPECT_EQ(
      render(
          "{{ missing is iterable }} {{ missing is sequence }} {{ true is number }} {{ pair is mapping }}"),
      "True True True True");
  EXPECT_EQ(render("{% set n = namespace() %}{{ n is mapping }} {{ n is iterable }} {{ n is sequence }}"),
            "False False False");
}

TEST(Jinja, StringMethods) {
  EXPECT_EQ(render("{{ 'a</t>b</t>c'.split('</t>')[-1] }}"), "c");
  EXPECT_EQ(render("{{ '\\n\\nx\\n'.lstrip('\\n') ~ '|' }}"), "x\n|");
  EXPECT_EQ(render("{{ word.startswith('Exp') }}{{ word.endswith('x') }}{{ 'aXbX'.replace('X', '-') }}"),
            "TrueFalsea-b-");
}

TEST(Jinja, WhiteSpaceAndCharactersAreThoseOfPython) {
  EXPECT_EQ(render("{{ ' \u3000\x1cx\u00a0' | trim }}|{{ '\u3000x'.lstrip() }}|{{ '\u200bx'.strip() }}|"),
            "x|x|\u200bx|");
  EXPECT_EQ(render("{{ '…a…'.strip('…') }}|{{ 'é'.strip('è') }}|{{ 'abca'.rstrip('ac') }}"), "a|é|ab");
  EXPECT_EQ(render("{{ 'é' | upper }}"), "error: upper or lower case outside ASCII");
}

TEST(Jinja, WhiteSpaceFollowsTrimBlocksAndLstripBlocks) {
  EXPECT_EQ(render("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif -%}  c"), "abc");
  EXPECT_EQ(render("a {{ 'b' }}\n c"), "a b\n c");
  EXPECT_EQ(render("  {%+ if true +%}\nx{% endif %}"), "  \nx");
  EXPECT_EQ(render("x {# gone #} y"), "x  y");
  EXPECT_EQ(render("{{- ' kept ' -}}"), " kept ");
}

TEST(Jinja, AnExceptionEndsTheRendering) {
  EXPECT_EQ(render("{{ raise_exception('no' ~ 1) }}{{ raise_exception('later') }}"), "error: no1");
  EXPECT_EQ(render("x{{ raise_exception('') }}y"), "error: it gives no reason");
  EXPECT_EQ(render("x{{ raise_exception(missing) }}y"), "error: it gives no reason");
  EXPECT_EQ(
      render("{% set n = namespace(x='long') %}{% for i in range(9) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
             "{{ raise_exception(n.x) }}"),
      "error: it gives a reason of 2048 bytes");
}

TEST(Jinja, ErrorsNameTheLine) {
  EXPECT_EQ(render("\n\n{{ 1 + }}"), "line 3: \"\" is not understood");
  EXPECT_EQ(render("{{ 'open }}"), "line 1: a string does not end");
  EXPECT_EQ(render("{# open"), "line 1: a comment does not end");
  EXPECT_EQ(render("{{ missing.field }}"), "error: a field of something undefined");
  EXPECT_EQ(render("{{ 1 + 'a' }}"), "error: \"+\" with these operands");
}

}  // namespace
}  // namespace expertscope::jinja
