// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/functions.h"

#include <fmt/format.h>

#include <locale.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/text/utf8.h"

namespace expertscope::jinja {
namespace {

using namespace std::string_view_literals;

/// What a filter or a method takes besides the value: names as in Jinja and Python, empty where Python allows
/// positions only.
struct Signature {
  std::string_view name;
  std::size_t required = 0;
  std::size_t count = 0;
  std::array<std::string_view, 2> parameters = {};
};

constexpr std::array kFilters = {Signature{"trim", 0, 1, {"chars"}},
                                 Signature{"default", 0, 2, {"default_value", "boolean"}},
                                 Signature{"length"},
                                 Signature{"count"},
                                 Signature{"upper"},
                                 Signature{"lower"},
                                 Signature{"string"},
                                 Signature{"safe"},
                                 Signature{"first"},
                                 Signature{"last"},
                                 Signature{"list"}};
/// Templates name these in branches that a plain conversation does not reach.
constexpr std::array kRefusedFilters = {"tojson"sv, "items"sv, "join"sv};
constexpr std::array kTests = {"defined"sv, "undefined"sv, "string"sv,   "none"sv,   "true"sv,   "false"sv,
                               "mapping"sv, "iterable"sv,  "sequence"sv, "number"sv, "boolean"sv};
constexpr std::array kMethods = {Signature{"split", 1, 1, {"sep"}},
                                 Signature{"strip", 0, 1},
                                 Signature{"lstrip", 0, 1},
                                 Signature{"rstrip", 0, 1},
                                 Signature{"startswith", 1, 1},
                                 Signature{"endswith", 1, 1},
                                 Signature{"upper"},
                                 Signature{"lower"},
                                 Signature{"replace", 2, 2},
                                 Signature{"get", 1, 2},
                                 Signature{"items"},
                                 Signature{"keys"}};

template <class Array>
const Signature* find_signature(const Array& signatures, std::string_view name) {
  const auto it = std::find_if(signatures.begin(), signatures.end(),
                               [&](const Signature& signature) { return signature.name == name; });
  return it != signatures.end() ? &*it : nullptr;
}

template <class Array>
bool contains(const Array& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

BoundArguments bind(const Signature& signature, PassedArguments arguments, Environment& env) {
  return bind_arguments(signature.name, std::span(signature.parameters).first(signature.count),
                        signature.required, std::move(arguments), env);
}

/// utf8_step, quick for ASCII; `text` is not empty.
Utf8Step first_character(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text.front());
  return byte < 0x80 ? Utf8Step{byte, 1, true, false} : utf8_step(text);
}

/// What Python's str.strip() takes away when it is not told.
bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

struct Ends {
  bool left = true;
  bool right = true;
};

/// `characters` is what goes away, white space when it is absent or none.
Value strip(std::string_view text, const std::optional<Value>& characters, Ends ends, Environment& env) {
  const bool told = characters && !characters->is_none();
  if (told && characters->string() == nullptr) return env.error("strip() of something that is not a string");
  std::vector<char32_t> set;
  for (std::string_view rest = told ? std::string_view(*characters->string()) : ""; !rest.empty();) {
    const auto step = first_character(rest);
    if (!env.charge(kMatchCost)) return {};
    set.push_back(step.code_point);
    rest.remove_prefix(step.length);
  }
  std::sort(set.begin(), set.end());
  const auto goes = [&](char32_t c) {
    return told ? std::binary_search(set.begin(), set.end(), c) : is_python_space(c);
  };
  while (ends.left && !text.empty()) {
    const auto step = first_character(text);
    if (!goes(step.code_point)) break;
    text.remove_prefix(step.length);
  }
  while (ends.right && !text.empty()) {
    const auto last = last_character(text);
    if (!goes(first_character(text.substr(last)).code_point)) break;
    text = text.substr(0, last);
  }
  return std::string(text);
}

Value change_case(std::string text, bool upper, Environment& env) {
  for (char& c : text) {
    if ((c & 0x80) != 0) return env.error("upper or lower case outside ASCII");
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

Value split(std::string_view text, std::string_view separator, Environment& env) {
  List parts;
  while (true) {
    const auto at = find_text(text, separator);
    const auto part = text.substr(0, at);
    if (parts.size() == kMaxList) return env.error("a list grows too long");
    if (!env.charge(kNewStringCost + part.size())) return {};
    parts.emplace_back(std::string(part));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + separator.size());
  }
}

Value replace_all(std::string_view text, std::string_view from, std::string_view to, Environment& env) {
  std::string out;
  for (auto at = find_text(text, from); at != std::string_view::npos; at = find_text(text, from)) {
    if (out.size() + at + to.size() > kMaxString) return env.error("a string grows too long");
    if (!env.charge(kMatchCost + at + to.size())) return {};
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
  }
  return out += text;
}

Value string_method(std::string_view name, const std::string& text, const BoundArguments& arguments,
                    Environment& env) {
  if (name.ends_with("strip")) return strip(text, arguments[0], {name != "rstrip", name != "lstrip"}, env);
  if (name == "upper" || name == "lower") return change_case(text, name == "upper", env);
  if (arguments.empty()) return env.error(fmt::format("the method {}() on this value", name));
  const auto* first = arguments[0]->string();
  if (first == nullptr || (first->empty() && (name == "split" || name == "replace")))
    return env.error(fmt::format("{}() needs a string", name));
  if (name == "startswith") return text.starts_with(*first);
  if (name == "endswith") return text.ends_with(*first);
  if (name == "split") return split(text, *first, env);
  if (name == "replace" && arguments[1]->string() != nullptr)
    return replace_all(text, *first, *arguments[1]->string(), env);
  return env.error(fmt::format("the method {}() on this value", name));
}

/// Number of characters of UTF-8 text.
std::int64_t character_count(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

Value length_of(const Value& value, Environment& env) {
  if (const auto* text = value.string()) return character_count(*text);
  if (const auto* list = value.list()) return static_cast<std::int64_t>(list->size());
  if (const auto* object = value.mapping()) return static_cast<std::int64_t>(object->fields.size());
  return env.error("the length of something that has none");
}

/// `value` where it is defined (and, with `boolean`, true), else the other value.
Value default_of(const Value& value, const BoundArguments& arguments) {
  const bool boolean = arguments[1] && arguments[1]->truthy();
  if (!value.is_undefined() && (!boolean || value.truthy())) return value;
  return arguments[0] ? *arguments[0] : Value(std::string());
}

bool equal_lists(const List& a, const List& b, Environment& env) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!equal(a[i], b[i], env)) return false;
  return true;
}

bool equal_mappings(const Fields& a, const Fields& b, Environment& env) {
  if (a.size() != b.size()) return false;
  for (auto x = a.begin(), y = b.begin(); x != a.end(); ++x, ++y)
    if (x->first != y->first || !equal(x->second, y->second, env)) return false;
  return true;
}

}  // namespace

bool is_known_filter(std::string_view name) {
  return find_signature(kFilters, name) != nullptr || contains(kRefusedFilters, name);
}
bool is_known_test(std::string_view name) {
  return contains(kTests, name);
}
bool is_known_method(std::string_view name) {
  return find_signature(kMethods, name) != nullptr;
}

std::size_t find_text(std::string_view text, std::string_view part) {
  // std::string_view::find takes the product of the lengths where both repeat one character.
  constexpr std::size_t kShort = 16;
  if (part.size() <= kShort) return text.find(part);
  const void* at = memmem(text.data(), text.size(), part.data(), part.size());
  return at != nullptr ? static_cast<std::size_t>(static_cast<const char*>(at) - text.data())
                       : std::string_view::npos;
}

bool equal(const Value& a, const Value& b, Environment& env) {
  if (!env.charge(kListElementCost)) return false;
  if (a.string() != nullptr && b.string() != nullptr) {
    const auto& x = *a.string();
    const auto& y = *b.string();
    return &x == &y || (x.size() == y.size() && env.charge(x.size()) && x == y);
  }
  if (a.number() && b.number()) return *a.number() == *b.number();
  if (a.list() != nullptr && b.list() != nullptr)
    return a.list() == b.list() || equal_lists(*a.list(), *b.list(), env);
  if (a.object() != nullptr && a.object() == b.object()) return true;
  if (a.mapping() != nullptr && b.mapping() != nullptr)
    return equal_mappings(a.mapping()->fields, b.mapping()->fields, env);
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

Value apply_filter(std::string_view name, const Value& value, PassedArguments arguments, Environment& env) {
  const auto* signature = find_signature(kFilters, name);
  if (signature == nullptr) return env.error(fmt::format("the filter {} on this value", name));
  const auto bound = bind(*signature, std::move(arguments), env);
  if (env.failed()) return {};
  if (name == "default") return default_of(value, bound);
  if (name == "safe") return value;
  if (name == "length" || name == "count") return length_of(value, env);
  if (name == "string") return env.text_of(value);
  if (const auto* text = value.string()) {
    if (name == "trim") return strip(*text, bound[0], {}, env);
    if (name == "upper" || name == "lower") return change_case(*text, name == "upper", env);
  }
  if (const auto* list = value.list()) {
    if (name == "list") return value;
    if (name == "first") return list->empty() ? Value() : list->front();
    if (name == "last") return list->empty() ? Value() : list->back();
  }
  return env.error(fmt::format("the filter {} on this value", name));
}

bool apply_test(std::string_view name, const Value& value) {
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "string") return value.string() != nullptr;
  if (name == "mapping") return value.mapping() != nullptr;
  if (name == "number") return value.number().has_value();
  if (name == "boolean") return value.boolean() != nullptr;
  if (name == "true" || name == "false")
    return value.boolean() != nullptr && *value.boolean() == (name == "true");
  // iterable or sequence; what is undefined counts as an empty one.
  if (name == "iterable" && value.object() != nullptr) return value.object()->kind != ObjectKind::name_space;
  return value.list() != nullptr || value.string() != nullptr || value.mapping() != nullptr ||
         value.is_undefined();
}

Value call_method(std::string_view name, const Value& value, PassedArguments arguments, Environment& env) {
  const auto* signature = find_signature(kMethods, name);
  if (signature == nullptr) return env.error(fmt::format("the method {}()", name));
  const auto bound = bind(*signature, std::move(arguments), env);
  if (env.failed()) return {};
  if (const auto* text = value.string()) return string_method(name, *text, bound, env);
  const auto* object = value.mapping();
  if (object != nullptr && name == "get" && bound[0]->string() != nullptr) {
    const auto it = object->fields.find(*bound[0]->string());
    if (it != object->fields.end()) return it->second;
    return bound[1] ? *bound[1] : Value(Value::None{});
  }
  return env.error(fmt::format("the method {}() on this value", name));
}

Value strftime_now(PassedArguments arguments, Environment& env) {
  constexpr std::size_t kMaxFormat = 256;
  const auto bound =
      bind_arguments("strftime_now", std::array<std::string_view, 1>{"format"}, 1, std::move(arguments), env);
  if (env.failed()) return {};
  const std::string* format = bound[0]->string();
  if (format == nullptr || format->size() > kMaxFormat)
    return env.error("strftime_now() with a format that is no short text");
  static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
  std::array<char, 4 * kMaxFormat> text{};
  const std::size_t size = strftime_l(text.data(), text.size(), format->c_str(), &env.now(), plain);
  if (size == 0 && !format->empty()) return env.error("strftime_now() with a format of which nothing comes");
  return env.charged(std::string(text.data(), size));
}

}  // namespace expertscope::jinja
