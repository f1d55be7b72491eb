// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/text/jinja/functions.h"
#include "engine/text/utf8.h"

namespace expertscope::jinja {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 30;

bool equal_lists(const List& a, const List& b, Environment& env) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!equal(a[i], b[i], env)) return false;
  return true;
}

bool equal_mappings(const Fields& a, const Fields& b, Environment& env) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, value] : a) {
    const Value* other = env.charge(kLookupCost + name.size()) ? b.find(name) : nullptr;
    if (other == nullptr || !equal(value, *other, env)) return false;
  }
  return true;
}

/// Python's rounding towards minus infinity.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Value repeated(const std::string& text, std::int64_t count, Environment& env) {
  const auto times = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
  if (times > 0 && text.size() > kMaxString / times) return env.error("a string grows too long");
  std::string out;
  out.reserve(text.size() * times);
  for (std::size_t i = 0; i < times; ++i)
    out += text;
  return env.charged(std::move(out));
}

Value joined_lists(const Value& a, const Value& b, Environment& env) {
  if (a.is_tuple() != b.is_tuple()) return env.error("\"+\" with these operands");
  if (a.list()->size() + b.list()->size() > kMaxList) return env.error("a list grows too long");
  List joined = *a.list();
  joined.insert(joined.end(), b.list()->begin(), b.list()->end());
  return env.charged(Value(std::move(joined), a.is_tuple()));
}

Value float_arithmetic(std::string_view op, double x, double y, Environment& env) {
  if (op == "+") return x + y;
  if (op == "-") return x - y;
  if (op == "*") return x * y;
  if (y == 0) return env.error("a division by zero");
  if (op == "/") return x / y;
  const double quotient = std::floor(x / y);
  return op == "//" ? quotient : x - quotient * y;
}

Value integer_arithmetic(std::string_view op, std::int64_t x, std::int64_t y, Environment& env) {
  if (x > kLargest || x < -kLargest || y > kLargest || y < -kLargest)
    return env.error("a number is too large");
  if (op == "+") return x + y;
  if (op == "-") return x - y;
  if (op == "*") return x * y;
  if (y == 0) return env.error("a division by zero");
  return op == "%" ? x - floor_divide(x, y) * y : floor_divide(x, y);
}

/// The indices that start:stop:step visits, as Python defines them.
std::vector<std::size_t> slice_indices(std::int64_t size, const std::array<const std::int64_t*, 3>& parts) {
  const std::int64_t step = parts[2] != nullptr ? *parts[2] : 1;
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? size : size - 1;
  const auto bound = [&](const std::int64_t* part, std::int64_t fallback) {
    if (part == nullptr) return fallback;
    return std::clamp(*part < 0 ? *part + size : *part, low, high);
  };
  const std::int64_t start = bound(parts[0], step > 0 ? low : high);
  const std::int64_t stop = bound(parts[1], step > 0 ? high : low);
  std::vector<std::size_t> indices;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
    indices.push_back(static_cast<std::size_t>(i));
  return indices;
}

/// Where the characters of a text begin, and where the last one ends.
std::vector<std::size_t> character_places(std::string_view text) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i <= text.size(); ++i)
    if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) places.push_back(i);
  return places;
}

Value character_of(const std::string& text, std::int64_t index, Environment& env) {
  if (!env.charge(text.size() * sizeof(std::size_t))) return {};
  const auto places = character_places(text);
  const auto size = static_cast<std::int64_t>(places.size()) - 1;
  if (index < 0) index += size;
  if (index < 0 || index >= size) return {};
  const auto at = static_cast<std::size_t>(index);
  return text.substr(places[at], places[at + 1] - places[at]);
}

Value element(const List& list, std::int64_t index) {
  const auto size = static_cast<std::int64_t>(list.size());
  if (index < 0) index += size;
  return index < 0 || index >= size ? Value() : list[static_cast<std::size_t>(index)];
}

}  // namespace

std::size_t find_text(std::string_view text, std::string_view part) {
  // std::string_view::find takes the product of the lengths where both repeat one character.
  constexpr std::size_t kShort = 16;
  if (part.size() <= kShort) return text.find(part);
  const void* at = memmem(text.data(), text.size(), part.data(), part.size());
  return at != nullptr ? static_cast<std::size_t>(static_cast<const char*>(at) - text.data())
                       : std::string_view::npos;
}

std::int64_t character_count(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

bool equal(const Value& a, const Value& b, Environment& env) {
  if (!env.charge(kListElementCost)) return false;
  if (a.string() != nullptr && b.string() != nullptr) {
    const auto& x = *a.string();
    const auto& y = *b.string();
    return &x == &y || (x.size() == y.size() && env.charge(x.size()) && x == y);
  }
  if (a.number() && b.number()) return *a.number() == *b.number();
  if (a.any_number() && b.any_number()) return *a.any_number() == *b.any_number();
  if (a.list() != nullptr && b.list() != nullptr)
    return a.list() == b.list() || (a.is_tuple() == b.is_tuple() && equal_lists(*a.list(), *b.list(), env));
  if (a.object() != nullptr && a.object() == b.object()) return true;
  if (a.mapping() != nullptr && b.mapping() != nullptr)
    return equal_mappings(*a.mapping(), *b.mapping(), env);
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const Value& a, const Value& b, Environment& env) {
  if (a.string() != nullptr && b.string() != nullptr) {
    env.charge(std::min(a.string()->size(), b.string()->size()));
    return *a.string() < *b.string();
  }
  if (a.number() && b.number()) return *a.number() < *b.number();
  if (a.any_number() && b.any_number()) return *a.any_number() < *b.any_number();
  env.error("a comparison of things without an order");
  return false;
}

bool contains(const Value& needle, const Value& haystack, Environment& env) {
  env.charged(haystack);
  if (haystack.is_undefined()) return false;  // counts as empty
  if (const auto* list = haystack.list())
    return std::any_of(list->begin(), list->end(),
                       [&](const Value& item) { return equal(item, needle, env); });
  const auto* key = needle.string();
  if (const auto* fields = haystack.mapping()) return key != nullptr && fields->contains(*key);
  if (haystack.string() != nullptr && key != nullptr)
    return find_text(*haystack.string(), *key) != std::string_view::npos;
  env.error("\"in\" with something that holds nothing");
  return false;
}

Value concatenate(const std::string& a, const std::string& b, Environment& env) {
  if (a.size() + b.size() > kMaxString) return env.error("a string grows too long");
  return env.charged(a + b);
}

Value arithmetic(std::string_view op, const Value& a, const Value& b, Environment& env) {
  if (op == "+" && a.string() != nullptr && b.string() != nullptr)
    return concatenate(*a.string(), *b.string(), env);
  if (op == "+" && a.list() != nullptr && b.list() != nullptr) return joined_lists(a, b, env);
  if (op == "*" && a.string() != nullptr && b.number()) return repeated(*a.string(), *b.number(), env);
  if (op == "*" && b.string() != nullptr && a.number()) return repeated(*b.string(), *a.number(), env);
  if (op != "/" && a.number() && b.number()) return integer_arithmetic(op, *a.number(), *b.number(), env);
  if (a.any_number() && b.any_number()) return float_arithmetic(op, *a.any_number(), *b.any_number(), env);
  return env.error(fmt::format("\"{}\" with these operands", op));
}

Value item_of(const Value& value, const Value& key, bool dotted, Environment& env) {
  if (value.is_undefined()) return env.error("a field of something undefined");
  if (key.is_undefined()) return {};
  if (const auto index = key.number()) {
    if (const auto* list = value.list()) return element(*list, *index);
    if (const auto* text = value.string()) return character_of(*text, *index, env);
    return {};
  }
  if (key.string() == nullptr) return {};
  const bool method = is_method(*key.string(), value);
  if (dotted && method) return Object{{}, ObjectKind::function};
  if (const auto* object = value.object(); object != nullptr && object->kind != ObjectKind::function)
    if (const Value* field = object->fields.find(*key.string())) return *field;
  return method ? Value(Object{{}, ObjectKind::function}) : Value();
}

Value slice_of(const Value& value, const std::array<Value, 3>& parts, Environment& env) {
  std::array<const std::int64_t*, 3> numbers{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    numbers[i] = parts[i].integer();
    if (numbers[i] == nullptr && !parts[i].is_none()) return env.error("a slice by no number");
    if (numbers[i] != nullptr && std::abs(*numbers[i]) > kLargest)
      return env.error("a slice by a huge number");
  }
  if (numbers[2] != nullptr && *numbers[2] == 0) return env.error("a slice of step zero");
  if (const auto* list = value.list()) {
    List result;
    for (const auto i : slice_indices(static_cast<std::int64_t>(list->size()), numbers))
      result.push_back((*list)[i]);
    return env.charged(Value(std::move(result), value.is_tuple()));
  }
  const auto* text = value.string();
  if (text == nullptr) return env.error("a slice of something that is not a list");
  if (!env.charge(2 * text->size() * sizeof(std::size_t))) return {};
  const auto places = character_places(*text);
  std::string result;
  for (const auto i : slice_indices(static_cast<std::int64_t>(places.size()) - 1, numbers))
    result.append(*text, places[i], places[i + 1] - places[i]);
  return env.charged(std::move(result));
}

Value length_of(const Value& value, Environment& env) {
  if (value.is_undefined()) return std::int64_t{0};
  if (const auto* text = value.string()) return character_count(*text);
  if (const auto* list = value.list()) return static_cast<std::int64_t>(list->size());
  if (const auto* fields = value.mapping()) return static_cast<std::int64_t>(fields->size());
  return env.error("the length of something that has none");
}

std::optional<List> items_of(const Value& value, Environment& env) {
  if (value.is_undefined()) return List{};
  if (const auto* list = value.list()) return env.charge(list->size() * kListElementCost) ? *list : List{};
  List items;
  if (const auto* fields = value.mapping()) {
    for (const auto& field : *fields)
      if (env.charge(kNewStringCost + field.name.size())) items.emplace_back(field.name);
    return items;
  }
  const auto* text = value.string();
  if (text == nullptr) return std::nullopt;
  if (character_count(*text) > kMaxList) {
    env.error("a list grows too long");
    return List{};
  }
  for (std::string_view rest = *text; !rest.empty() && env.charge(kNewStringCost);) {
    const auto length = utf8_step(rest).length;
    items.emplace_back(std::string(rest.substr(0, length)));
    rest.remove_prefix(length);
  }
  return items;
}

}  // namespace expertscope::jinja
