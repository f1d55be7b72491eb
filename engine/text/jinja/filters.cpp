// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/text/jinja/functions.h"
#include "engine/text/jinja/operations.h"
#include "engine/text/jinja/printing.h"

namespace expertscope::jinja {
namespace {

using Arguments = BoundArguments;

Value refuse(std::string_view filter, Environment& env) {
  return env.error(fmt::format("the filter {} on this value", filter));
}

/// What a filter that goes through a list is given.
List list_of(const Value& value, std::string_view filter, Environment& env) {
  auto items = items_of(value, env);
  if (!items) refuse(filter, env);
  return items ? std::move(*items) : List{};
}

/// "a.b" of a value, as filters with `attribute` look it up, each part with a fallback; the value itself
/// where there is none.
Value attribute_of(Value value, const std::optional<Value>& attribute, Environment& env,
                   const std::optional<Value>& fallback = {}) {
  const auto defined = [&](const Value& found) {
    return found.is_undefined() && fallback ? *fallback : found;
  };
  if (!attribute || attribute->is_none()) return value;
  if (attribute->string() == nullptr) return defined(item_of(value, *attribute, false, env));
  std::string_view path = *attribute->string();
  while (!env.failed()) {
    const auto dot = path.find('.');
    value = defined(item_of(value, std::string(path.substr(0, dot)), false, env));
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  return value;
}

/// The same in lower case, where case does not count: not told apart outside ASCII.
Value sort_key(Value value, const std::optional<Value>& case_sensitive, Environment& env) {
  if (value.string() == nullptr || flag_of(case_sensitive)) return value;
  return change_case(*value.string(), Case::lower, env);
}

Value default_of(const Value& value, const Arguments& arguments, Environment&) {
  if (!value.is_undefined() && (!flag_of(arguments[1]) || value.truthy())) return value;
  return arguments[0] ? *arguments[0] : Value(std::string());
}

Value same(const Value& value, const Arguments&, Environment&) {
  return value;
}
Value length(const Value& value, const Arguments&, Environment& env) {
  return length_of(value, env);
}
Value text(const Value& value, const Arguments&, Environment& env) {
  return printed(value, env);
}
Value trim(const Value& value, const Arguments& arguments, Environment& env) {
  return strip(printed(value, env), arguments[0], {}, env);
}
Value upper(const Value& value, const Arguments&, Environment& env) {
  return change_case(printed(value, env), Case::upper, env);
}
Value lower(const Value& value, const Arguments&, Environment& env) {
  return change_case(printed(value, env), Case::lower, env);
}
Value capitalize(const Value& value, const Arguments&, Environment& env) {
  return change_case(printed(value, env), Case::capitalized, env);
}

Value list(const Value& value, const Arguments&, Environment& env) {
  return list_of(value, "list", env);
}

Value first(const Value& value, const Arguments&, Environment& env) {
  const auto items = list_of(value, "first", env);
  return items.empty() ? Value() : items.front();
}
Value last(const Value& value, const Arguments&, Environment& env) {
  const auto items = list_of(value, "last", env);
  return items.empty() ? Value() : items.back();
}

Value reverse(const Value& value, const Arguments&, Environment& env) {
  auto items = list_of(value, "reverse", env);
  std::reverse(items.begin(), items.end());
  return value.string() != nullptr ? join_texts(items, "", env) : Value(std::move(items));
}

Value join(const Value& value, const Arguments& arguments, Environment& env) {
  auto items = list_of(value, "join", env);
  for (auto& item : items)
    item = attribute_of(std::move(item), arguments[1], env);
  return join_texts(items, arguments[0] ? printed(*arguments[0], env) : "", env);
}

Value replace(const Value& value, const Arguments& arguments, Environment& env) {
  const bool all = !arguments[2] || arguments[2]->is_none();
  if (!all && arguments[2]->integer() == nullptr) return refuse("replace", env);
  return replace_text(printed(value, env), printed(*arguments[0], env), printed(*arguments[1], env),
                      all ? -1 : *arguments[2]->integer(), env);
}

Value items(const Value& value, const Arguments&, Environment& env) {
  if (value.is_undefined()) return List{};
  return value.mapping() != nullptr ? pairs_of(*value.mapping(), env) : refuse("items", env);
}

/// Sorts by `key`; what has no order is an error.
template <class Key>
void sort_items(List& items, bool reversed, Environment& env, const Key& key) {
  std::vector<std::pair<Value, Value>> keyed;
  for (auto& item : items)
    keyed.emplace_back(key(item), item);
  // A comparison that fails must not leave the order without a meaning: all keys are compared with one first.
  for (const auto& entry : keyed)
    less(entry.first, keyed.front().first, env);
  if (env.failed()) return;
  const auto before = [&](const auto& a, const auto& b) {
    return env.charge(kMatchCost) && (reversed ? less(b.first, a.first, env) : less(a.first, b.first, env));
  };
  std::stable_sort(keyed.begin(), keyed.end(), before);
  for (std::size_t i = 0; i < items.size(); ++i)
    items[i] = std::move(keyed[i].second);
}

Value dictsort(const Value& value, const Arguments& arguments, Environment& env) {
  if (value.mapping() == nullptr) return refuse("dictsort", env);
  std::int64_t part = 0;
  if (arguments[1]) {
    const auto* by = arguments[1]->string();
    if (by == nullptr || (*by != "key" && *by != "value")) return refuse("dictsort", env);
    part = *by == "value" ? 1 : 0;
  }
  const Value pairs = pairs_of(*value.mapping(), env);
  List items = pairs.list() != nullptr ? *pairs.list() : List{};
  sort_items(items, flag_of(arguments[2]), env,
             [&](const Value& pair) { return sort_key(item_of(pair, part, false, env), arguments[0], env); });
  return items;
}

Value sort(const Value& value, const Arguments& arguments, Environment& env) {
  auto items = list_of(value, "sort", env);
  sort_items(items, flag_of(arguments[0]), env, [&](const Value& item) {
    return sort_key(attribute_of(item, arguments[2], env), arguments[1], env);
  });
  return items;
}

Value unique(const Value& value, const Arguments& arguments, Environment& env) {
  List kept;
  List seen;
  for (const auto& item : list_of(value, "unique", env)) {
    auto key = sort_key(attribute_of(item, arguments[1], env), arguments[0], env);
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& other) { return equal(other, key, env); }))
      continue;
    seen.push_back(std::move(key));
    kept.push_back(item);
  }
  return kept;
}

Value extreme(const Value& value, const Arguments& arguments, bool largest, Environment& env) {
  const auto items = list_of(value, largest ? "max" : "min", env);
  const auto key = [&](const Value& item) {
    return sort_key(attribute_of(item, arguments[1], env), arguments[0], env);
  };
  Value best;
  for (const auto& item : items)
    if (best.is_undefined() || (largest ? less(key(best), key(item), env) : less(key(item), key(best), env)))
      best = item;
  return best;
}
Value max(const Value& value, const Arguments& arguments, Environment& env) {
  return extreme(value, arguments, true, env);
}
Value min(const Value& value, const Arguments& arguments, Environment& env) {
  return extreme(value, arguments, false, env);
}

Value sum(const Value& value, const Arguments& arguments, Environment& env) {
  Value total = arguments[1] ? *arguments[1] : Value(std::int64_t{0});
  for (const auto& item : list_of(value, "sum", env))
    total = arithmetic("+", total, attribute_of(item, arguments[0], env), env);
  return total;
}

Value absolute(const Value& value, const Arguments&, Environment& env) {
  if (value.real() != nullptr) return std::abs(*value.real());
  return value.number() ? Value(std::abs(*value.number())) : refuse("abs", env);
}

/// The number that a whole text is, as Python's float() reads it.
std::optional<double> read_number(const Value& value, Environment& env) {
  if (value.any_number()) return value.any_number();
  if (value.string() == nullptr) return {};
  const Value stripped = strip(*value.string(), {}, {}, env);
  if (stripped.string() == nullptr) return {};
  const auto& text = *stripped.string();
  double number = 0;
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto read = std::from_chars(begin, text.data() + text.size(), number);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return {};
  return number;
}

Value to_int(const Value& value, const Arguments& arguments, Environment& env) {
  if (arguments[1]) return env.error("int() with a base");
  constexpr double kLargest = 9e15;  // whole numbers are exact up to there
  const auto number = read_number(value, env);
  if (number && std::abs(*number) < kLargest) return static_cast<std::int64_t>(*number);
  return arguments[0] ? *arguments[0] : Value(std::int64_t{0});
}

Value to_float(const Value& value, const Arguments& arguments, Environment& env) {
  if (const auto number = read_number(value, env)) return *number;
  return arguments[0] ? *arguments[0] : Value(0.0);
}

Value indent(const Value& value, const Arguments& arguments, Environment& env) {
  std::string width = "    ";
  if (arguments[0]) {
    const auto* count = arguments[0]->integer();
    if (arguments[0]->string() != nullptr) width = *arguments[0]->string();
    if (count != nullptr)
      width.assign(static_cast<std::size_t>(std::clamp<std::int64_t>(*count, 0, 256)), ' ');
    if (arguments[0]->string() == nullptr && count == nullptr) return refuse("indent", env);
  }
  const std::string text = printed(value, env);
  std::string out = flag_of(arguments[1]) ? width : "";
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    const bool blank = i + 1 >= text.size() || text[i + 1] == '\n';
    if (text[i] != '\n' || (blank && !flag_of(arguments[2]))) continue;
    out += width;
    if (!env.charge(width.size()) || out.size() > kMaxString) return env.error("a string grows too long");
  }
  return out;
}

Value tojson(const Value& value, const Arguments& arguments, Environment& env) {
  JsonStyle style;
  style.ascii = flag_of(arguments[0]);
  style.sorted = flag_of(arguments[3]);
  if (arguments[1] && !arguments[1]->is_none()) {
    const auto width = arguments[1]->number();
    if (!width && arguments[1]->string() == nullptr) return refuse("tojson", env);
    style.indented = true;
    style.indent = width
                       ? std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(*width, 0, 256)), ' ')
                       : *arguments[1]->string();
    style.item_separator = ",";
  }
  if (arguments[2] && !arguments[2]->is_none()) {
    const auto* pair = arguments[2]->list();
    if (pair == nullptr || pair->size() != 2 || (*pair)[0].string() == nullptr ||
        (*pair)[1].string() == nullptr)
      return refuse("tojson", env);
    style.item_separator = *(*pair)[0].string();
    style.key_separator = *(*pair)[1].string();
  }
  return to_json(value, style, env);
}

constexpr Callee kFilters[] = {
    {"abs", absolute},
    {"capitalize", capitalize},
    {"count", length},
    {"d", default_of, 0, 2, {"default_value", "boolean"}},
    {"default", default_of, 0, 2, {"default_value", "boolean"}},
    {"dictsort", dictsort, 0, 3, {"case_sensitive", "by", "reverse"}},
    {"first", first},
    {"float", to_float, 0, 1, {"default"}},
    {"indent", indent, 0, 3, {"width", "first", "blank"}},
    {"int", to_int, 0, 2, {"default", "base"}},
    {"items", items},
    {"join", join, 0, 2, {"d", "attribute"}},
    {"last", last},
    {"length", length},
    {"list", list},
    {"lower", lower},
    {"max", max, 0, 2, {"case_sensitive", "attribute"}},
    {"min", min, 0, 2, {"case_sensitive", "attribute"}},
    {"replace", replace, 2, 3, {"old", "new", "count"}},
    {"reverse", reverse},
    {"safe", same},
    {"sort", sort, 0, 3, {"reverse", "case_sensitive", "attribute"}},
    {"string", text},
    {"sum", sum, 0, 2, {"attribute", "start"}},
    {"tojson", tojson, 0, 4, {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {"trim", trim, 0, 1, {"chars"}},
    {"unique", unique, 0, 2, {"case_sensitive", "attribute"}},
    {"upper", upper},
};

/// select, reject, selectattr, rejectattr: the name of a test and what it takes, after that of an attribute.
Value select(std::string_view name, const Value& value, PassedArguments arguments, Environment& env) {
  const bool by_attribute = name.ends_with("attr");
  const bool keep = name.starts_with("select");
  std::optional<Value> attribute;
  if (by_attribute) {
    if (arguments.empty()) return env.error(fmt::format("{}() needs more arguments", name));
    attribute = std::move(arguments.front().value);
    arguments.erase(arguments.begin());
  }
  std::string test;
  if (!arguments.empty()) {
    if (arguments.front().value.string() == nullptr) return refuse(name, env);
    test = *arguments.front().value.string();
    arguments.erase(arguments.begin());
    if (!is_known_test(test)) return env.error(fmt::format("the test \"is {}\" is not understood", test));
  }
  List kept;
  if (!value.truthy()) return kept;  // as in Jinja, whatever it is
  for (const auto& item : list_of(value, name, env)) {
    const Value seen = attribute_of(item, attribute, env);
    const bool holds = test.empty() ? seen.truthy() : apply_test(test, seen, arguments, env);
    if (env.failed()) return {};
    if (holds == keep) kept.push_back(item);
  }
  return kept;
}

/// map(attribute=..., default=...) or map(filter, arguments).
Value map(const Value& value, PassedArguments arguments, Environment& env) {
  if (arguments.empty()) return env.error("map() needs more arguments");
  List mapped = value.truthy() ? list_of(value, "map", env) : List{};
  if (!arguments.front().name.empty()) {
    const auto bound = bind_arguments("map", std::array<std::string_view, 2>{"attribute", "default"}, 1,
                                      std::move(arguments), env);
    for (auto& item : mapped)
      item = attribute_of(std::move(item), bound[0], env, bound[1]);
    return mapped;
  }
  const Value filter = arguments.front().value;
  arguments.erase(arguments.begin());
  if (filter.string() == nullptr) return refuse("map", env);
  for (auto& item : mapped)
    item = apply_filter(*filter.string(), item, arguments, env);
  return mapped;
}

bool is_selection(std::string_view name) {
  return name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr";
}

}  // namespace

bool is_known_filter(std::string_view name) {
  return name == "map" || is_selection(name) || find_callee(kFilters, name) != nullptr;
}

Value apply_filter(std::string_view name, const Value& value, PassedArguments arguments, Environment& env) {
  if (!env.charge(kStepCost)) return {};
  if (name == "map") return env.charged(map(value, std::move(arguments), env));
  if (is_selection(name)) return env.charged(select(name, value, std::move(arguments), env));
  const auto* filter = find_callee(kFilters, name);
  if (filter == nullptr) return env.error(fmt::format("the filter {} is not understood", name));
  return env.charged(filter->call(value, std::move(arguments), env));
}

}  // namespace expertscope::jinja
