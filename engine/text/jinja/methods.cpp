// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include <algorithm>

#include "engine/text/jinja/functions.h"
#include "engine/text/jinja/operations.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/utf8.h"

namespace expertscope::jinja {
namespace {

using Arguments = BoundArguments;

/// How often; `fallback` where the argument is left out.
std::int64_t count_of(const std::optional<Value>& argument, std::int64_t fallback, Environment& env) {
  if (!argument) return fallback;
  if (argument->integer() == nullptr) env.error("a count that is no number");
  return argument->integer() != nullptr ? *argument->integer() : fallback;
}

Value add_part(std::string_view part, List& parts, Environment& env) {
  if (parts.size() == kMaxList) return env.error("a list grows too long");
  if (env.charge(kNewStringCost + part.size())) parts.emplace_back(std::string(part));
  return {};
}

/// At white space, without empty parts.
Value split_at_spaces(std::string_view text, std::int64_t count, Environment& env) {
  List parts;
  const auto leading = [&text](bool space) {
    std::size_t end = 0;
    while (end < text.size()) {
      const auto step = utf8_step(text.substr(end));
      if (is_python_space(step.code_point) != space) break;
      end += step.length;
    }
    return end;
  };
  for (text.remove_prefix(leading(true)); !text.empty() && !env.failed();) {
    if (count-- == 0) {
      add_part(text, parts, env);
      break;
    }
    const auto end = leading(false);
    add_part(text.substr(0, end), parts, env);
    text.remove_prefix(end);
    text.remove_prefix(leading(true));
  }
  return parts;
}

Value split(const Value& value, const Arguments& arguments, Environment& env) {
  std::string_view text = *value.string();
  const auto* separator = text_argument(arguments[0], "split", env);
  auto count = count_of(arguments[1], -1, env);
  if (env.failed()) return {};
  if (separator == nullptr) return split_at_spaces(text, count, env);
  if (separator->empty()) return env.error("split() needs a string");
  List parts;
  while (!env.failed()) {
    const auto at = count-- == 0 ? std::string_view::npos : find_text(text, *separator);
    add_part(text.substr(0, at), parts, env);
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + separator->size());
  }
  return parts;
}

Value rsplit(const Value& value, const Arguments& arguments, Environment& env) {
  std::string_view text = *value.string();
  const auto* separator = text_argument(arguments[0], "rsplit", env);
  auto count = count_of(arguments[1], -1, env);
  if (env.failed() || separator == nullptr || separator->empty()) return env.error("rsplit() needs a string");
  List parts;
  while (!env.failed()) {
    if (!env.charge(text.size() * separator->size())) break;
    const auto at = count-- == 0 ? std::string_view::npos : text.rfind(*separator);
    const auto begin = at == std::string_view::npos ? 0 : at + separator->size();
    add_part(text.substr(begin), parts, env);
    if (at == std::string_view::npos) break;
    text = text.substr(0, at);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Value strip_both(const Value& value, const Arguments& arguments, Environment& env) {
  return strip(*value.string(), arguments[0], {}, env);
}
Value strip_left(const Value& value, const Arguments& arguments, Environment& env) {
  return strip(*value.string(), arguments[0], {true, false}, env);
}
Value strip_right(const Value& value, const Arguments& arguments, Environment& env) {
  return strip(*value.string(), arguments[0], {false, true}, env);
}

/// One text, or any of a tuple.
template <class Fits>
Value fits_any(const Value& wanted, Environment& env, const Fits& fits) {
  if (wanted.string() != nullptr) return fits(*wanted.string());
  if (!wanted.is_tuple()) return env.error("startswith() or endswith() needs a string");
  return std::any_of(wanted.list()->begin(), wanted.list()->end(), [&](const Value& one) {
    return one.string() != nullptr && env.charge(kMatchCost) && fits(*one.string());
  });
}
Value starts_with(const Value& value, const Arguments& arguments, Environment& env) {
  return fits_any(*arguments[0], env, [&](const auto& text) { return value.string()->starts_with(text); });
}
Value ends_with(const Value& value, const Arguments& arguments, Environment& env) {
  return fits_any(*arguments[0], env, [&](const auto& text) { return value.string()->ends_with(text); });
}

Value upper(const Value& value, const Arguments&, Environment& env) {
  return change_case(*value.string(), Case::upper, env);
}
Value lower(const Value& value, const Arguments&, Environment& env) {
  return change_case(*value.string(), Case::lower, env);
}
Value title(const Value& value, const Arguments&, Environment& env) {
  return change_case(*value.string(), Case::title, env);
}
Value capitalize(const Value& value, const Arguments&, Environment& env) {
  return change_case(*value.string(), Case::capitalized, env);
}

Value replace(const Value& value, const Arguments& arguments, Environment& env) {
  const auto* from = text_argument(arguments[0], "replace", env);
  const auto* to = text_argument(arguments[1], "replace", env);
  const auto count = count_of(arguments[2], -1, env);
  if (from == nullptr || to == nullptr) return env.error("replace() needs a string");
  return replace_text(*value.string(), *from, *to, count, env);
}

Value join(const Value& value, const Arguments& arguments, Environment& env) {
  const auto parts = items_of(*arguments[0], env);
  const auto is_text = [](const Value& part) { return part.string() != nullptr; };
  if (!parts || !std::all_of(parts->begin(), parts->end(), is_text)) return env.error("join() needs strings");
  return join_texts(*parts, *value.string(), env);
}

Value find(const Value& value, const Arguments& arguments, Environment& env) {
  const auto* part = text_argument(arguments[0], "find", env);
  if (part == nullptr) return env.error("find() needs a string");
  const auto at = find_text(*value.string(), *part);
  if (at == std::string_view::npos) return std::int64_t{-1};
  return character_count(std::string_view(*value.string()).substr(0, at));
}

Value count(const Value& value, const Arguments& arguments, Environment& env) {
  if (const auto* list = value.list())
    return static_cast<std::int64_t>(std::count_if(
        list->begin(), list->end(), [&](const Value& item) { return equal(item, *arguments[0], env); }));
  const auto* part = text_argument(arguments[0], "count", env);
  if (part == nullptr || part->empty()) return env.error("count() needs a string");
  std::int64_t found = 0;
  std::string_view text = *value.string();
  for (auto at = find_text(text, *part); at != std::string_view::npos; at = find_text(text, *part)) {
    ++found;
    text.remove_prefix(at + part->size());
  }
  return found;
}

Value is_digit(const Value& value, const Arguments&, Environment&) {
  const auto& text = *value.string();
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Value remove_prefix(const Value& value, const Arguments& arguments, Environment& env) {
  const auto* prefix = text_argument(arguments[0], "removeprefix", env);
  if (prefix == nullptr) return env.error("removeprefix() needs a string");
  return value.string()->starts_with(*prefix) ? Value(value.string()->substr(prefix->size())) : value;
}
Value remove_suffix(const Value& value, const Arguments& arguments, Environment& env) {
  const auto* suffix = text_argument(arguments[0], "removesuffix", env);
  if (suffix == nullptr) return env.error("removesuffix() needs a string");
  const auto& text = *value.string();
  return text.ends_with(*suffix) ? Value(text.substr(0, text.size() - suffix->size())) : value;
}

Value get(const Value& value, const Arguments& arguments, Environment&) {
  const auto* key = arguments[0]->string();
  const Value* there = key != nullptr ? value.mapping()->find(*key) : nullptr;
  if (there != nullptr) return *there;
  return arguments[1] ? *arguments[1] : Value(Value::None{});
}
Value items(const Value& value, const Arguments&, Environment& env) {
  return pairs_of(*value.mapping(), env);
}
Value keys(const Value& value, const Arguments&, Environment& env) {
  return items_of(value, env).value_or(List{});
}
Value values(const Value& value, const Arguments&, Environment& env) {
  List all;
  for (const auto& field : *value.mapping())
    if (env.charge(kListElementCost)) all.push_back(field.value);
  return all;
}

/// What Jinja's sandbox keeps templates from.
Value change(const Value&, const Arguments&, Environment& env) {
  return env.error("a list or a mapping cannot be changed");
}

constexpr Callee kStringMethods[] = {
    {"capitalize", capitalize},
    {"count", count, 1, 1},
    {"endswith", ends_with, 1, 1},
    {"find", find, 1, 1},
    {"format"},
    {"isdigit", is_digit},
    {"join", join, 1, 1},
    {"lower", lower},
    {"lstrip", strip_left, 0, 1},
    {"removeprefix", remove_prefix, 1, 1},
    {"removesuffix", remove_suffix, 1, 1},
    {"replace", replace, 2, 3, {"", "", "count"}},
    {"rsplit", rsplit, 1, 2, {"sep", "maxsplit"}},
    {"rstrip", strip_right, 0, 1},
    {"split", split, 0, 2, {"sep", "maxsplit"}},
    {"startswith", starts_with, 1, 1},
    {"strip", strip_both, 0, 1},
    {"title", title},
    {"upper", upper},
};
constexpr Callee kMappingMethods[] = {
    {"clear", change, 0, 0},  {"copy"},
    {"get", get, 1, 2},       {"items", items},
    {"keys", keys},           {"pop", change, 1, 2},
    {"popitem", change},      {"setdefault", change, 1, 2},
    {"update", change, 0, 1}, {"values", values},
};
constexpr Callee kListMethods[] = {
    {"append", change, 1, 1},
    {"clear", change},
    {"copy"},
    {"count", count, 1, 1},
    {"extend", change, 1, 1},
    {"index"},
    {"insert", change, 2, 2},
    {"pop", change, 0, 1},
    {"remove", change, 1, 1},
    {"reverse", change},
    {"sort", change, 0, 2, {"key", "reverse"}},
};

std::span<const Callee> methods_of(const Value& value) {
  if (value.string() != nullptr) return kStringMethods;
  if (value.list() != nullptr) return kListMethods;
  if (value.mapping() != nullptr) return kMappingMethods;
  return {};
}

/// str.format() with {}, {0} and {name}.
class Formatter {
 public:
  Formatter(const PassedArguments& arguments, Environment& env) : arguments_(arguments), env_(env) {}

  Value format(std::string_view pattern) {
    std::string out;
    while (!pattern.empty() && !env_.failed()) {
      const char c = pattern.front();
      const bool brace = c == '{' || c == '}';
      if (!brace || (pattern.size() > 1 && pattern[1] == c)) {
        out += c;
        pattern.remove_prefix(brace ? 2 : 1);
        continue;
      }
      const auto end = c == '{' ? pattern.find('}') : std::string_view::npos;
      if (end == std::string_view::npos) return env_.error("format() of this string");
      out += printed(argument(pattern.substr(1, end - 1)), env_);
      if (out.size() > kMaxString || !env_.charge(kMatchCost)) return env_.error("a string grows too long");
      pattern.remove_prefix(end + 1);
    }
    return out;
  }

 private:
  Value argument(std::string_view name) {
    const bool digits = std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    std::size_t position = next_;
    if (name.empty()) ++next_;
    if (digits && name.size() < 3)
      for (position = name.empty() ? position : 0; const char c : name)
        position = position * 10 + static_cast<std::size_t>(c - '0');
    for (std::size_t i = 0; i < arguments_.size(); ++i)
      if (digits ? i == position && arguments_[i].name.empty() : arguments_[i].name == name)
        return arguments_[i].value;
    return env_.error(fmt::format("format() with the field \"{}\"", name));
  }

  const PassedArguments& arguments_;
  Environment& env_;
  std::size_t next_ = 0;
};

}  // namespace

bool is_method(std::string_view name, const Value& value) {
  return find_callee(methods_of(value), name) != nullptr;
}

Value call_method(std::string_view name, const Value& value, PassedArguments arguments, Environment& env) {
  if (value.is_undefined()) return env.error(fmt::format("the method {}() of something undefined", name));
  const auto* method = find_callee(methods_of(value), name);
  if (method != nullptr && name == "format") return Formatter(arguments, env).format(*value.string());
  if (method == nullptr || method->function == nullptr)
    return env.error(fmt::format("the method {}() on this value", name));
  return method->call(value, std::move(arguments), env);
}

}  // namespace expertscope::jinja
