// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/arguments.h"

#include <fmt/format.h>

#include <algorithm>

namespace expertscope::jinja {

PassedArguments evaluate_arguments(const std::vector<Argument>& arguments, Environment& env) {
  PassedArguments values;
  for (const auto& argument : arguments)
    values.push_back({argument.name, argument.value->evaluate(env)});
  return values;
}

BoundArguments bind_arguments(std::string_view callee, std::span<const std::string_view> parameters,
                              std::size_t required, PassedArguments passed, Environment& env) {
  BoundArguments bound(parameters.size());
  for (std::size_t i = 0; i < passed.size(); ++i) {
    const auto name = passed[i].name;
    const auto named =
        static_cast<std::size_t>(std::find(parameters.begin(), parameters.end(), name) - parameters.begin());
    const std::size_t at = name.empty() ? i : named;
    if (at >= bound.size()) {
      env.error(name.empty() ? fmt::format("too many arguments for {}()", callee)
                             : fmt::format("the argument \"{}\" of {}()", name, callee));
    } else if (bound[at]) {
      env.error(fmt::format("the argument \"{}\" of {}() is there twice", name, callee));
    } else {
      bound[at] = std::move(passed[i].value);
    }
  }
  for (std::size_t i = 0; i < required; ++i)
    if (!bound[i]) env.error(fmt::format("{}() needs more arguments", callee));
  return bound;
}

Value Callee::call(const Value& value, PassedArguments passed, Environment& env) const {
  const auto bound =
      bind_arguments(name, std::span(parameters).first(count), required, std::move(passed), env);
  return env.failed() ? Value() : function(value, bound, env);
}

const Callee* find_callee(std::span<const Callee> callees, std::string_view name) {
  const auto it =
      std::find_if(callees.begin(), callees.end(), [&](const Callee& one) { return one.name == name; });
  return it != callees.end() ? &*it : nullptr;
}

bool flag_of(const std::optional<Value>& argument, bool fallback) {
  return argument ? argument->truthy() : fallback;
}

const std::string* text_argument(const std::optional<Value>& argument, std::string_view callee,
                                 Environment& env) {
  if (!argument || argument->is_none()) return nullptr;
  if (argument->string() == nullptr) env.error(fmt::format("{}() needs a string", callee));
  return argument->string();
}

}  // namespace expertscope::jinja
