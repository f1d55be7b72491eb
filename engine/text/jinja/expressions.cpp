// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/expressions.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/text/jinja/functions.h"
#include "engine/text/jinja/operations.h"
#include "engine/text/jinja/printing.h"

namespace expertscope::jinja {
namespace {

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

/// What namespace() and dict() are given: a mapping, and values with names.
Fields named_values(std::string_view callee, const PassedArguments& arguments, Environment& env) {
  Fields fields;
  for (const auto& [name, value] : arguments) {
    if (name.empty() && (&value != &arguments.front().value || value.mapping() == nullptr)) {
      env.error(fmt::format("{}() of something without a name", callee));
    } else if (name.empty()) {
      fields = *value.mapping();
    } else {
      fields[name] = value;
    }
  }
  return fields;
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
  env.leave = Environment::Leave::nothing;
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
  const auto message = printed(*bound[0], env);
  if (message.empty()) return env.error("it gives no reason");
  if (message.size() > kMaxMessage)
    return env.error(fmt::format("it gives a reason of {} bytes", message.size()));
  return env.error(message);
}

}  // namespace

Value ListDisplay::compute(Environment& env) const {
  List values;
  for (const auto& item : items)
    values.push_back(item->evaluate(env));
  return env.charged(Value(std::move(values), tuple));
}

Value MappingDisplay::compute(Environment& env) const {
  Fields fields;
  for (const auto& [name, value] : items) {
    const Value key = name->evaluate(env);
    if (key.string() == nullptr) return env.error("a mapping with a key that is no string");
    if (env.charge(kListElementCost + key.string()->size())) fields[*key.string()] = value->evaluate(env);
  }
  return env.charged(Value(std::move(fields)));
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
  if (op == "not in") return !contains(a, b, env);
  if (op == "~") return concatenate(printed(a, env), printed(b, env), env);
  if (op == "<") return less(a, b, env);
  if (op == ">") return less(b, a, env);
  if (op == "<=") return !less(b, a, env);
  if (op == ">=") return !less(a, b, env);
  return arithmetic(op, a, b, env);
}

Value Unary::compute(Environment& env) const {
  const Value value = operand->evaluate(env);
  if (op == "not") return !value.truthy();
  if (op == "+") return arithmetic("+", std::int64_t{0}, value, env);
  if (value.real() != nullptr) return -*value.real();
  return arithmetic("-", std::int64_t{0}, value, env);
}

Value Conditional::compute(Environment& env) const {
  if (condition->evaluate(env).truthy()) return then->evaluate(env);
  return otherwise ? otherwise->evaluate(env) : Value();
}

Value Subscript::compute(Environment& env) const {
  const Value container = value->evaluate(env);
  return item_of(container, index->evaluate(env), dotted, env);
}

Value Slice::compute(Environment& env) const {
  const Value container = value->evaluate(env);
  std::array<Value, 3> numbers;
  for (std::size_t i = 0; i < parts.size(); ++i)
    numbers[i] = parts[i] ? parts[i]->evaluate(env) : Value(Value::None{});
  return slice_of(container, numbers, env);
}

Value Filter::compute(Environment& env) const {
  const Value input = value->evaluate(env);
  if (input.string() != nullptr) env.charge(input.string()->size());
  return env.charged(apply_filter(name, input, evaluate_arguments(arguments, env), env));
}

Value Test::compute(Environment& env) const {
  const Value tested = value->evaluate(env);
  return apply_test(name, tested, evaluate_arguments(arguments, env), env);
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
  if (name == "namespace") return env.make_namespace(named_values(name, passed, env));
  if (name == "dict") return env.charged(named_values(name, passed, env));
  if (name == "raise_exception") return raise(std::move(passed), env);
  if (name == "strftime_now") return strftime_now(std::move(passed), env);
  return env.error("the function " + name + "()");
}

}  // namespace expertscope::jinja
