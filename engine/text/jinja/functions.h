// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

#include "engine/text/jinja/arguments.h"

namespace expertscope::jinja {

bool is_known_filter(std::string_view name);
bool is_known_test(std::string_view name);
bool is_known_method(std::string_view name);

/// `value | name(arguments)`.
Value apply_filter(std::string_view name, const Value& value, PassedArguments arguments, Environment& env);
/// `value is name`.
bool apply_test(std::string_view name, const Value& value);
/// `value.name(arguments)` on strings and mappings.
Value call_method(std::string_view name, const Value& value, PassedArguments arguments, Environment& env);

/// `strftime_now(format)` of transformers: the local time as C writes it, in the C locale, as Python does.
Value strftime_now(PassedArguments arguments, Environment& env);

/// `a == b`, charged for every element that is looked at; false when rendering must end.
bool equal(const Value& a, const Value& b, Environment& env);
/// Where `part` first stands in `text`, or npos, in linear time however the two repeat themselves.
std::size_t find_text(std::string_view text, std::string_view part);

}  // namespace expertscope::jinja
