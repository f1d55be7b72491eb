// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

#include "engine/text/jinja/ast.h"

namespace expertscope::jinja {

bool is_known_filter(std::string_view name);
bool is_known_test(std::string_view name);
bool is_known_method(std::string_view name);

/// `value | name(arguments)`.
Value apply_filter(std::string_view name, const Value& value, const List& arguments, Environment& env);
/// `value is name`.
bool apply_test(std::string_view name, const Value& value);
/// `value.name(arguments)` on strings and objects.
Value call_method(std::string_view name, const Value& value, const List& arguments, Environment& env);

/// Number of characters of UTF-8 text.
std::size_t character_count(std::string_view text);

}  // namespace expertscope::jinja
