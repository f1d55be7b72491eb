// SPDX-License-Identifier: GPL-3.0-or-later
// Patterns cut texts as the regular expressions of tokenizers (Oniguruma) do: tests/data/text/patterns.json.
#include <gtest/gtest.h>

#include "engine/text/regex.h"
#include "engine/text/utf8.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using Json = nlohmann::json;

int characters(std::string_view text) {
  int count = 0;
  for (; !text.empty(); text.remove_prefix(utf8_step(text).length))
    ++count;
  return count;
}

/// The lengths of the parts of a text in characters, those that matched as positive numbers.
Result<std::vector<int>> parts(const Regex& regex, std::string_view text) {
  std::vector<int> lengths;
  std::size_t done = 0;
  const auto add = [&](std::size_t begin, std::size_t end, int sign) {
    if (begin != end) lengths.push_back(sign * characters(text.substr(begin, end - begin)));
  };
  RegexScratch scratch;
  const auto ok = regex.for_each_match(text, scratch, [&](std::size_t begin, std::size_t end) {
    add(done, begin, -1);
    add(begin, end, 1);
    done = end;
  });
  if (!ok) return forward_error(ok);
  add(done, text.size(), -1);
  return lengths;
}

class PatternCases : public ::testing::Test {
 protected:
  const Json data_ = Json::parse(testing::read_bytes(testing::data_folder() / "text" / "patterns.json"));
};

TEST_F(PatternCases, EveryPatternCutsAsTokenizersDoesOrIsRefused) {
  const auto texts = data_["texts"].get<std::vector<std::string>>();
  int compared = 0;
  for (const auto& row : data_["cases"]) {
    const auto pattern = row["pattern"].get<std::string>();
    const auto regex = Regex::compile(pattern, "test");
    EXPECT_TRUE(regex || !row["understood"].get<bool>()) << regex.error().message << ": " << pattern;
    if (!regex || row["parts"].is_null()) continue;
    for (std::size_t i = 0; i < row["texts"].size(); ++i) {
      const auto& text = texts[row["texts"][i].get<std::size_t>()];
      const auto lengths = parts(*regex, text);
      ASSERT_TRUE(lengths) << lengths.error().message << ": " << pattern;
      EXPECT_EQ(*lengths, row["parts"][i].get<std::vector<int>>()) << pattern << " on " << Json(text);
      ++compared;
    }
  }
  EXPECT_GT(compared, 3000);
}

TEST_F(PatternCases, WhatTokenizersRefusesIsRefusedHereToo) {
  int refused = 0;
  for (const auto& row : data_["cases"]) {
    if (!row["parts"].is_null()) continue;
    const auto pattern = row["pattern"].get<std::string>();
    EXPECT_FALSE(Regex::compile(pattern, "test")) << pattern;
    ++refused;
  }
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace expertscope
