// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/expressions.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/text/jinja/functions.h"

namespace expertscope::jinja {
namespace {

Value concatenate(const std::string& a, const std::string& b, Environment& env) {
  if (a.size() + b.size() > kMaxString) return env.error("a string grows too long");
  return env.charged(a + b);
}

Value contains(const Value& needle, const Value& haystack, Environment& env) {
  if (env.charged(haystack).is_undefined()) return env.error("\"in\" with something undefined");
  const auto* text = haystack.string();
  if (text != nullptr && needle.string() != nullptr)
    return find_text(*text, *needle.string()) != std::string_view::npos;
  if (const auto* list = haystack.list())
    return std::any_of(list->begin(), list->end(),
                       [&](const Value& item) { return equal(item, needle, env); });
  if (const auto* object = haystack.mapping(); object != nullptr && needle.string() != nullptr)
    return object->fields.contains(*needle.string());
  return env.error("\"in\" with something that holds nothing");
}

Value compare(const std::string& op, const Value& a, const Value& b, Environment& env) {
  const auto ordered = [&](auto x, auto y) {
    return op == "<" ? x < y : op == ">" ? x > y : op == "<=" ? x <= y : x >= y;
  };
  if (a.integer() != nullptr && b.integer() != nullptr) return ordered(*a.integer(), *b.integer());
  if (a.string() != nullptr && b.string() != nullptr)
    return ordered(std::string_view(*a.string()), std::string_view(*b.string()));
  return env.error("a comparison of things without an order");
}

/// Python's rounding towards minus infinity.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Value arithmetic(const std::string& op, const Value& a, const Value& b, Environment& env) {
  if (op == "+" && a.string() != nullptr && b.string() != nullptr)
    return concatenate(*a.string(), *b.string(), env);
  if (op == "+" && a.list() != nullptr && b.list() != nullptr) {
    if (a.list()->size() + b.list()->size() > kMaxList) return env.error("a list grows too long");
    List joined = *a.list();
    joined.insert(joined.end(), b.list()->begin(), b.list()->end());
    return env.charged(joined);
  }
  if (a.integer() == nullptr || b.integer() == nullptr)
    return env.error("\"" + op + "\" with these operands");
  constexpr std::int64_t kLargest = std::int64_t{1} << 30;
  const std::int64_t x = *a.integer();
  const std::int64_t y = *b.integer();
  if (x > kLargest || x < -kLargest || y > kLargest || y < -kLargest)
    return env.error("a number is too large");
  if (op == "+") return x + y;
  if (op == "-") return x - y;
  if (op == "*") return x * y;
  if (y == 0) return env.error("a division by zero");
  return op == "%" ? x - floor_divide(x, y) * y : floor_divide(x, y);
}

Value element(const List& list, std::int64_t index) {
  const auto size = static_cast<std::int64_t>(list.size());
  if (index < 0) index += size;
  return index < 0 || index >= size ? Value() : list[index];
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

Value make_range(PassedArguments arguments, Environment& env) {
  const auto bound = bind_arguments("range", std::array<std::string_view, 3>{}, 1, std::move(arguments), env);
  if (env.failed()) return {};
  std::array<std::int64_t, 3> numbers = {0, 0, 1};
  for (std::size_t i = 0; i < bound.size(); ++i) {
    if (!bound[i]) continue;
    if (bound[i]->integer() == nullptr) return env.error("range() of something that is not a number");
    numbers[bound[1] ? i : 1] = *bound[i]->integer();
  }
  const auto [start, stop, step] = numbers;
  if (step == 0 || std::abs(stop) > kMaxList || std::abs(start) > kMaxList || std::abs(step) > kMaxList)
    return env.error("a range is too long");
  List list;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
    list.emplace_back(i);
  return env.charged(list);
}

Value make_namespace(const PassedArguments& arguments, Environment& env) {
  Fields fields;
  for (const auto& [name, value] : arguments) {
    if (name.empty()) return env.error("namespace() of something without a name");
    fields[std::string(name)] = value;
  }
  return env.failed() ? Value() : env.make_namespace(std::move(fields));
}

Value call_macro(const Macro& macro, PassedArguments arguments, Environment& env) {
  if (env.macro_depth >= kMaxMacroDepth) return env.error("macros call each other too deeply");
  std::vector<std::string_view> names;
  for (const auto& [name, fallback] : macro.parameters)
    names.push_back(name);
  auto bound = bind_arguments(macro.name, names, 0, std::move(arguments), env);
  if (env.failed()) return {};
  const auto caller = env.enter_macro();
  for (std::size_t i = 0; i < bound.size() && env.step(); ++i) {
    const auto& [name, fallback] = macro.parameters[i];
    // A default may name the parameters before it.
    if (!bound[i]) bound[i] = fallback ? fallback->evaluate(env) : Value();
    env.set(name, std::move(*bound[i]));
  }
  std::string outer = env.take_output();
  run_block(macro.body, env);
  std::string text = env.take_output();
  env.restore_output(std::move(outer));
  env.leave_macro(caller);
  return env.charged(std::move(text));
}

/// The template's own words become the error: people read them in a line.
Value raise(PassedArguments arguments, Environment& env) {
  constexpr std::size_t kMaxMessage = 1000;
  const auto bound =
      bind_arguments("raise_exception", std::array<std::string_view, 1>{}, 1, std::move(arguments), env);
  if (env.failed()) return {};
  const auto message = env.text_of(*bound[0]);
  if (message.empty()) return env.error("it gives no reason");
  if (message.size() > kMaxMessage)
    return env.error(fmt::format("it gives a reason of {} bytes", message.size()));
  return env.error(message);
}

/// Freeing a value recurses into it, so that values must not come to nest deeply.
bool may_be_listed(const Value& value, Environment& env) {
  const auto is_list = [](const Value& item) { return item.list() != nullptr; };
  if (value.object() != nullptr && value.object()->kind == ObjectKind::loop) {
    env.error("a loop in a list");  // whose elements a loop refers to: a chain
  } else if (is_list(value) && env.charge(value.list()->size()) &&
             std::any_of(value.list()->begin(), value.list()->end(), is_list)) {
    env.error("lists in lists in lists");
  }
  return !env.failed();
}

}  // namespace

Value ListDisplay::compute(Environment& env) const {
  List values;
  for (const auto& item : items)
    values.push_back(item->evaluate(env));
  for (const auto& value : values)
    if (!may_be_listed(value, env)) return {};
  return env.charged(values);
}

Value Binary::compute(Environment& env) const {
  Value a = left->evaluate(env);
  if (op == "and") return a.truthy() ? right->evaluate(env) : a;
  if (op == "or") return a.truthy() ? a : right->evaluate(env);
  const Value b = env.charged(right->evaluate(env));
  if (env.failed()) return {};
  if (op == "==") return equal(a, b, env);
  if (op == "!=") return !equal(a, b, env);
  if (op == "in") return contains(a, b, env);
  if (op == "not in") return !contains(a, b, env).truthy();
  if (op == "~") return concatenate(env.text_of(a), env.text_of(b), env);
  if (op[0] == '<' || op[0] == '>') return compare(op, a, b, env);
  return arithmetic(op, a, b, env);
}

Value Unary::compute(Environment& env) const {
  const Value value = operand->evaluate(env);
  if (op == "not") return !value.truthy();
  return arithmetic("-", std::int64_t{0}, value, env);
}

Value Conditional::compute(Environment& env) const {
  if (condition->evaluate(env).truthy()) return then->evaluate(env);
  return otherwise ? otherwise->evaluate(env) : Value();
}

Value Subscript::compute(Environment& env) const {
  const Value container = value->evaluate(env);
  const Value key = index->evaluate(env);
  if (container.is_undefined()) return env.error("a field of something undefined");
  if (const auto* list = container.list(); list != nullptr && key.integer() != nullptr)
    return element(*list, *key.integer());
  if (const auto* object = container.object(); object != nullptr && key.string() != nullptr) {
    const auto it = object->fields.find(*key.string());
    return it == object->fields.end() ? Value() : it->second;
  }
  if (container.string() != nullptr && key.integer() != nullptr) return env.error("a character of a string");
  return {};
}

Value Slice::compute(Environment& env) const {
  const Value container = value->evaluate(env);
  std::array<Value, 3> values;
  std::array<const std::int64_t*, 3> numbers{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i]) values[i] = parts[i]->evaluate(env);
    numbers[i] = values[i].integer();
    if (parts[i] && numbers[i] == nullptr && !values[i].is_none()) return env.error("a slice by no number");
    if (numbers[i] != nullptr && std::abs(*numbers[i]) > kMaxList)
      return env.error("a slice by a huge number");
  }
  if (numbers[2] != nullptr && *numbers[2] == 0) return env.error("a slice of step zero");
  const auto* list = container.list();
  if (list == nullptr) return env.error("a slice of something that is not a list");
  List result;
  for (const auto i : slice_indices(static_cast<std::int64_t>(list->size()), numbers))
    result.push_back((*list)[i]);
  return env.charged(result);
}

Value Filter::compute(Environment& env) const {
  const Value input = value->evaluate(env);
  if (input.string() != nullptr) env.charge(input.string()->size());
  return env.charged(apply_filter(name, input, evaluate_arguments(arguments, env), env));
}

Value Test::compute(Environment& env) const {
  return apply_test(name, value->evaluate(env));
}

Value MethodCall::compute(Environment& env) const {
  const Value object = value->evaluate(env);
  if (object.string() != nullptr) env.charge(object.string()->size());
  return env.charged(call_method(name, object, evaluate_arguments(arguments, env), env));
}

Value FunctionCall::compute(Environment& env) const {
  auto passed = evaluate_arguments(arguments, env);
  if (const auto* macro = env.find_macro(name)) return call_macro(*macro, std::move(passed), env);
  if (name == "range") return make_range(std::move(passed), env);
  if (name == "namespace") return make_namespace(passed, env);
  if (name == "raise_exception") return raise(std::move(passed), env);
  if (name == "strftime_now") return strftime_now(std::move(passed), env);
  return env.error("the function " + name + "()");
}

}  // namespace expertscope::jinja
