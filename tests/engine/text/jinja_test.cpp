// SPDX-License-Identifier: GPL-3.0-or-later
// The subset of Jinja that chat templates use; expected texts follow the Jinja documentation and Python.
#include <gtest/gtest.h>

#include "engine/text/jinja/parser.h"

namespace expertscope::jinja {
namespace {

std::string render(const std::string& source) {
  const auto block = parse(source);
  if (!block) return block.error().message;
  Object globals;
  globals["items"] = List{std::string("a"), std::string("b"), std::string("c")};
  globals["word"] = std::string("Expert");
  globals["three"] = std::int64_t{3};
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

TEST(Jinja, StringMethods) {
  EXPECT_EQ(render("{{ 'a</t>b</t>c'.split('</t>')[-1] }}"), "c");
  EXPECT_EQ(render("{{ '\\n\\nx\\n'.lstrip('\\n') ~ '|' }}"), "x\n|");
  EXPECT_EQ(render("{{ word.startswith('Exp') }}{{ word.endswith('x') }}{{ 'aXbX'.replace('X', '-') }}"),
            "TrueFalsea-b-");
}

TEST(Jinja, WhiteSpaceFollowsTrimBlocksAndLstripBlocks) {
  EXPECT_EQ(render("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif -%}  c"), "abc");
  EXPECT_EQ(render("a {{ 'b' }}\n c"), "a b\n c");
  EXPECT_EQ(render("  {%+ if true +%}\nx{% endif %}"), "  \nx");
  EXPECT_EQ(render("x {# gone #} y"), "x  y");
  EXPECT_EQ(render("{{- ' kept ' -}}"), " kept ");
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
