// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "engine/text/jinja/ast.h"

namespace expertscope::jinja {

/// What `{{ value }}` prints: Python's str(). Namespaces, loops and methods have none that means anything:
/// an error of `env`, which every byte is charged to.
std::string printed(const Value& value, Environment& env);

/// How json.dumps is told to write.
struct JsonStyle {
  bool ascii = false;
  bool sorted = false;
  bool indented = false;
  std::string indent = {};
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// Python's json.dumps(); an error of `env` for what JSON has no form for.
std::string to_json(const Value& value, const JsonStyle& style, Environment& env);

}  // namespace expertscope::jinja
