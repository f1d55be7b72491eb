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

}  // namespace expertscope::jinja
