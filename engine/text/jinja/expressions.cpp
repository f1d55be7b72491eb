// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/expressions.h"

#include <algorithm>

#include "engine/text/jinja/functions.h"

namespace expertscope::jinja {
namespace {

constexpr std::size_t kMaxString = 16u << 20;
constexpr std::int64_t kMaxRange = 100'000;
constexpr int kMaxMacroDepth = 16;

List evaluate_all(const std::vector<Argument>& arguments, Environment& env) {
  List values;
  for (const auto& argument : arguments)
    values.push_back(argument.value->evaluate(env));
  return values;
}

Value concatenate(const std::string& a, const std::string& b, Environment& env) {
  if (a.size() + b.size() > kMaxString) return env.error("a string grows too long");
  return env.charged(a + b);
}

Value contains(const Value& needle, const Value& haystack, Environment& env) {
  if (env.charged(haystack).is_undefined()) return env.error("\"in\" with something undefined");
  const auto* text = haystack.string();
  if (text != nullptr && needle.string() != nullptr) return text->find(*needle.string()) != std::string::npos;
  if (const auto* list = haystack.list()) return std::find(list->begin(), list->end(), needle) != list->end();
  if (const auto* object = haystack.object(); object != nullptr && needle.string() != nullptr)
    return object->find(*needle.string()) != object->end();
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
    List joined = *a.list();
    if (joined.size() + b.list()->size() > kMaxRange) return env.error("a list grows too long");
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
  return index < 0 || index >= size ? Value() : list[static_cast<std::size_t>(index)];
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

Value make_range(const List& arguments, Environment& env) {
  std::array<std::int64_t, 3> numbers = {0, 0, 1};
  if (arguments.empty() || arguments.size() > 3) return env.error("range() with these arguments");
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].integer() == nullptr) return env.error("range() of something that is not a number");
    numbers[arguments.size() == 1 ? 1 : i] = *arguments[i].integer();
  }
  const auto [start, stop, step] = numbers;
  if (step == 0 || std::abs(stop) > kMaxRange || std::abs(start) > kMaxRange || std::abs(step) > kMaxRange)
    return env.error("a range is too long");
  List list;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
    list.emplace_back(i);
  return env.charged(list);
}

Value call_macro(const Macro& macro, const std::vector<Argument>& arguments, Environment& env) {
  if (env.depth >= kMaxMacroDepth) return env.error("macros call each other too deeply");
  Object locals;
  for (std::size_t i = 0; i < macro.parameters.size(); ++i) {
    const auto& [name, fallback] = macro.parameters[i];
    Value value = fallback ? fallback->evaluate(env) : Value();
    if (i < arguments.size() && arguments[i].name.empty()) value = arguments[i].value->evaluate(env);
    for (const auto& argument : arguments)
      if (argument.name == name) value = argument.value->evaluate(env);
    locals[name] = std::move(value);
  }
  std::string outer = env.take_output();
  ++env.depth;
  env.push();
  for (auto& [name, value] : locals)
    env.set(name, std::move(value));
  run_block(macro.body, env);
  env.pop();
  --env.depth;
  std::string text = env.take_output();
  env.restore_output(std::move(outer));
  return env.charged(std::move(text));
}

}  // namespace

Value ListDisplay::evaluate(Environment& env) const {
  List values;
  for (const auto& item : items)
    values.push_back(item->evaluate(env));
  // Deep nesting would make destruction recurse deeply.
  const auto is_list = [](const Value& value) { return value.list() != nullptr; };
  for (const auto& value : values)
    if (is_list(value) && std::any_of(value.list()->begin(), value.list()->end(), is_list))
      return env.error("lists in lists in lists");
  return env.charged(values);
}

Value Binary::evaluate(Environment& env) const {
  if (!env.step()) return {};
  Value a = left->evaluate(env);
  if (op == "and") return a.truthy() ? right->evaluate(env) : a;
  if (op == "or") return a.truthy() ? a : right->evaluate(env);
  const Value b = env.charged(right->evaluate(env));
  if (env.failed()) return {};
  if (op == "==") return a == b;
  if (op == "!=") return !(a == b);
  if (op == "in") return contains(a, b, env);
  if (op == "not in") return !contains(a, b, env).truthy();
  if (op == "~") return concatenate(a.text(), b.text(), env);
  if (op[0] == '<' || op[0] == '>') return compare(op, a, b, env);
  return arithmetic(op, a, b, env);
}

Value Unary::evaluate(Environment& env) const {
  const Value value = operand->evaluate(env);
  if (op == "not") return !value.truthy();
  return arithmetic("-", std::int64_t{0}, value, env);
}

Value Conditional::evaluate(Environment& env) const {
  if (condition->evaluate(env).truthy()) return then->evaluate(env);
  return otherwise ? otherwise->evaluate(env) : Value();
}

Value Subscript::evaluate(Environment& env) const {
  if (!env.step()) return {};
  const Value container = value->evaluate(env);
  const Value key = index->evaluate(env);
  if (container.is_undefined()) return env.error("a field of something undefined");
  if (const auto* list = container.list(); list != nullptr && key.integer() != nullptr)
    return element(*list, *key.integer());
  if (const auto* object = container.object(); object != nullptr && key.string() != nullptr) {
    const auto it = object->find(*key.string());
    return it == object->end() ? Value() : it->second;
  }
  if (container.string() != nullptr && key.integer() != nullptr) return env.error("a character of a string");
  return {};
}

Value Slice::evaluate(Environment& env) const {
  if (!env.step()) return {};
  const Value container = value->evaluate(env);
  std::array<Value, 3> values;
  std::array<const std::int64_t*, 3> numbers{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i]) values[i] = parts[i]->evaluate(env);
    numbers[i] = values[i].integer();
    if (parts[i] && numbers[i] == nullptr && !values[i].is_none()) return env.error("a slice by no number");
    if (numbers[i] != nullptr && std::abs(*numbers[i]) > kMaxRange)
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

Value Filter::evaluate(Environment& env) const {
  if (!env.step()) return {};
  const Value input = value->evaluate(env);
  return env.charged(apply_filter(name, input, evaluate_all(arguments, env), env));
}

Value Test::evaluate(Environment& env) const {
  return apply_test(name, value->evaluate(env));
}

Value MethodCall::evaluate(Environment& env) const {
  if (!env.step()) return {};
  const Value object = value->evaluate(env);
  if (object.string() != nullptr) env.charge(object.string()->size());
  return env.charged(call_method(name, object, evaluate_all(arguments, env), env));
}

Value FunctionCall::evaluate(Environment& env) const {
  if (!env.step()) return {};
  if (const auto* macro = env.find_macro(name)) return call_macro(*macro, arguments, env);
  if (name == "range") return make_range(evaluate_all(arguments, env), env);
  if (name == "namespace") {
    Object object;
    for (const auto& argument : arguments)
      object[argument.name] = argument.value->evaluate(env);
    return env.make_namespace(std::move(object));
  }
  const List values = evaluate_all(arguments, env);
  if (name == "raise_exception") return env.error(values.empty() ? "refused" : values.front().text());
  return env.error("the function " + name + "()");
}

}  // namespace expertscope::jinja
