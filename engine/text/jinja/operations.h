// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/text/jinja/ast.h"

namespace expertscope::jinja {

/// Python's ==; charges `env` for every element it looks at.
bool equal(const Value& a, const Value& b, Environment& env);
/// Python's <: numbers and strings have an order, anything else is an error of `env`.
bool less(const Value& a, const Value& b, Environment& env);
/// Python's `needle in haystack`.
bool contains(const Value& needle, const Value& haystack, Environment& env);

/// +, -, *, /, //, % of numbers; + of strings and lists; * of a string and a number.
Value arithmetic(std::string_view op, const Value& a, const Value& b, Environment& env);
Value concatenate(const std::string& a, const std::string& b, Environment& env);

/// `value[key]`, or `value.key` with `dotted`, for which methods of Python come before the keys of a mapping.
Value item_of(const Value& value, const Value& key, bool dotted, Environment& env);
/// `value[start:stop:step]`; absent parts are none.
Value slice_of(const Value& value, const std::array<Value, 3>& parts, Environment& env);
/// len(value).
Value length_of(const Value& value, Environment& env);
/// What a loop goes through: elements, keys or characters; nothing where a loop is an error.
std::optional<List> items_of(const Value& value, Environment& env);

/// Where `part` begins in `text`, or npos; in linear time.
std::size_t find_text(std::string_view text, std::string_view part);
/// Number of characters of UTF-8 text.
std::int64_t character_count(std::string_view text);

}  // namespace expertscope::jinja
