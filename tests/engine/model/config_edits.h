// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "engine/model/config_reader.h"
#include "tests/support/model_folder.h"

/// Configs of tests/data/models, after an edit.
namespace expertscope::testing {

using Json = nlohmann::json;
using Edit = std::function<void(Json&)>;

inline Result<ParsedConfig> parsed(const Edit& edit, const std::string& model = "top1") {
  auto json = Json::parse(read_bytes(data_folder() / "models" / model / "config.json"));
  edit(json);
  return parse_config(json.dump(), "config.json");
}

inline ModelConfig config_of(const Edit& edit, const std::string& model = "top1") {
  const auto result = parsed(edit, model);
  EXPECT_TRUE(result) << result.error().message;
  return result ? result->config : ModelConfig{};
}

inline Error refusal(const Edit& edit, const std::string& model = "top1") {
  const auto result = parsed(edit, model);
  EXPECT_FALSE(result);
  return result ? Error{} : result.error();
}

}  // namespace expertscope::testing
