// SPDX-License-Identifier: GPL-3.0-or-later
// What chat templates use of Jinja, as Jinja itself renders it under the settings of transformers.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/text/jinja/json_value.h"
#include "engine/text/jinja/parser.h"
#include "tests/support/model_folder.h"

namespace expertscope::jinja {
namespace {

/// Nothing where the template is refused.
std::optional<std::string> render(const std::string& source, const Fields& variables) {
  const auto block = parse(source);
  if (!block) return std::nullopt;
  Environment env(variables);
  run_block(*block, env);
  if (env.failed()) return std::nullopt;
  return env.take_output();
}

TEST(JinjaCases, GiveWhatJinjaGives) {
  const auto data =
      nlohmann::json::parse(testing::read_bytes(testing::data_folder() / "text" / "jinja_cases.json"));
  const auto variables = parse_value(data["variables"].get<std::string>(), "variables");
  ASSERT_TRUE(variables && variables->mapping() != nullptr);
  for (const auto& row : data["cases"]) {
    const auto source = row["source"].get<std::string>();
    const auto text = render(source, *variables->mapping());
    ASSERT_EQ(text.has_value(), row.contains("text")) << source;
    if (text) {
      EXPECT_EQ(*text, row["text"].get<std::string>()) << source;
    }
  }
}

}  // namespace
}  // namespace expertscope::jinja
