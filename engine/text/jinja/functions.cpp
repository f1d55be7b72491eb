// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/functions.h"

#include <algorithm>
#include <array>

namespace expertscope::jinja {
namespace {

using namespace std::string_view_literals;

constexpr std::array kFilters = {"trim"sv,    "length"sv, "count"sv, "upper"sv, "lower"sv,
                                 "string"sv,  "tojson"sv, "safe"sv,  "first"sv, "last"sv,
                                 "default"sv, "list"sv,   "items"sv, "join"sv};
constexpr std::array kTests = {"defined"sv, "undefined"sv, "string"sv,   "none"sv,   "true"sv,   "false"sv,
                               "mapping"sv, "iterable"sv,  "sequence"sv, "number"sv, "boolean"sv};
constexpr std::array kMethods = {"split"sv, "strip"sv, "lstrip"sv,  "rstrip"sv, "startswith"sv, "endswith"sv,
                                 "upper"sv, "lower"sv, "replace"sv, "get"sv,    "items"sv,      "keys"sv};
constexpr std::string_view kBlank = " \t\n\r\v\f";
constexpr std::size_t kMaxString = 16u << 20;

template <class Array>
bool contains(const Array& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string strip(std::string_view text, std::string_view characters, bool left, bool right) {
  while (left && !text.empty() && characters.find(text.front()) != std::string_view::npos)
    text.remove_prefix(1);
  while (right && !text.empty() && characters.find(text.back()) != std::string_view::npos)
    text.remove_suffix(1);
  return std::string(text);
}

std::string change_case(std::string text, bool upper) {
  for (char& c : text) {
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

Value split(std::string_view text, std::string_view separator) {
  List parts;
  while (true) {
    const auto at = text.find(separator);
    parts.emplace_back(std::string(text.substr(0, at)));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + separator.size());
  }
}

Value replace_all(std::string_view text, std::string_view from, std::string_view to, Environment& env) {
  std::string out;
  for (auto at = text.find(from); at != std::string_view::npos; at = text.find(from)) {
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
    if (out.size() > kMaxString) return env.error("a string grows too long");
  }
  return out += text;
}

Value string_method(std::string_view name, const std::string& text, const List& arguments, Environment& env) {
  const auto argument = [&](std::size_t i) { return i < arguments.size() ? arguments[i].string() : nullptr; };
  const auto* first = argument(0);
  if (name.ends_with("strip")) {
    if (!arguments.empty() && first == nullptr) return env.error("strip() of something that is not a string");
    return strip(text, first != nullptr ? std::string_view(*first) : kBlank, name != "rstrip",
                 name != "lstrip");
  }
  if (name == "upper" || name == "lower") return change_case(text, name == "upper");
  if (first == nullptr || (first->empty() && (name == "split" || name == "replace")))
    return env.error(std::string(name) + "() needs a string");
  if (name == "startswith") return text.starts_with(*first);
  if (name == "endswith") return text.ends_with(*first);
  if (name == "split" && arguments.size() == 1) return split(text, *first);
  if (name == "replace" && argument(1) != nullptr) return replace_all(text, *first, *argument(1), env);
  return env.error(std::string(name) + "() with these arguments");
}

Value length_of(const Value& value, Environment& env) {
  if (const auto* text = value.string()) return static_cast<std::int64_t>(character_count(*text));
  if (const auto* list = value.list()) return static_cast<std::int64_t>(list->size());
  if (const auto* object = value.object()) return static_cast<std::int64_t>(object->size());
  return env.error("the length of something that has none");
}

}  // namespace

bool is_known_filter(std::string_view name) {
  return contains(kFilters, name);
}
bool is_known_test(std::string_view name) {
  return contains(kTests, name);
}
bool is_known_method(std::string_view name) {
  return contains(kMethods, name);
}

std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

Value apply_filter(std::string_view name, const Value& value, const List& arguments, Environment& env) {
  if (name == "default") return value.is_undefined() && !arguments.empty() ? arguments.front() : value;
  if (name == "safe") return value;
  if (name == "length" || name == "count") return length_of(value, env);
  if (name == "string") return value.text();
  if (const auto* text = value.string()) {
    if (name == "trim" && arguments.empty()) return strip(*text, kBlank, true, true);
    if (name == "upper" || name == "lower") return change_case(*text, name == "upper");
  }
  if (const auto* list = value.list()) {
    if (name == "list") return value;
    if (name == "first") return list->empty() ? Value() : list->front();
    if (name == "last") return list->empty() ? Value() : list->back();
  }
  return env.error("the filter " + std::string(name) + " on this value");
}

bool apply_test(std::string_view name, const Value& value) {
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "string") return value.string() != nullptr;
  if (name == "mapping") return value.object() != nullptr;
  if (name == "number") return value.integer() != nullptr;
  if (name == "boolean") return value.boolean() != nullptr;
  if (name == "true" || name == "false")
    return value.boolean() != nullptr && *value.boolean() == (name == "true");
  return value.list() != nullptr || value.string() != nullptr || value.object() != nullptr;
}

Value call_method(std::string_view name, const Value& value, const List& arguments, Environment& env) {
  if (const auto* text = value.string()) return string_method(name, *text, arguments, env);
  const auto* object = value.object();
  if (object != nullptr && name == "get" && !arguments.empty() && arguments[0].string() != nullptr) {
    const auto it = object->find(*arguments[0].string());
    if (it != object->end()) return it->second;
    return arguments.size() > 1 ? arguments[1] : Value(Value::None{});
  }
  return env.error("the method " + std::string(name) + "() on this value");
}

}  // namespace expertscope::jinja
