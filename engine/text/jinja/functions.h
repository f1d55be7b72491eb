// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

#include "engine/text/jinja/arguments.h"

namespace expertscope::jinja {

bool is_known_filter(std::string_view name);
bool is_known_test(std::string_view name);
/// Whether Python has a method of this name for such a value.
bool is_method(std::string_view name, const Value& value);

/// `value | name(arguments)`.
Value apply_filter(std::string_view name, const Value& value, PassedArguments arguments, Environment& env);
/// `value is name(arguments)`.
bool apply_test(std::string_view name, const Value& value, PassedArguments arguments, Environment& env);
/// `value.name(arguments)`.
Value call_method(std::string_view name, const Value& value, PassedArguments arguments, Environment& env);

/// `strftime_now(format)` of transformers: the local time as C writes it, in the C locale, as Python does.
Value strftime_now(PassedArguments arguments, Environment& env);

// What filters and methods share.
/// What Python's str.strip() takes away when it is not told.
bool is_python_space(char32_t c);
enum class Case : std::uint8_t { upper, lower, title, capitalized };
Value change_case(std::string text, Case to, Environment& env);
/// `characters` is what goes away at these ends, white space when it is absent or none.
struct Ends {
  bool left = true;
  bool right = true;
};
Value strip(std::string_view text, const std::optional<Value>& characters, Ends ends, Environment& env);
/// `count` < 0: all.
Value replace_text(std::string_view text, std::string_view from, std::string_view to, std::int64_t count,
                   Environment& env);
Value join_texts(const List& parts, std::string_view separator, Environment& env);
/// [(key, value), ...] of a mapping.
Value pairs_of(const Fields& fields, Environment& env);

}  // namespace expertscope::jinja
