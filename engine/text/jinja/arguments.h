// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/text/jinja/ast.h"

namespace expertscope::jinja {

/// An evaluated argument of a call: positional when the name is empty.
struct PassedArgument {
  std::string_view name;
  Value value;
};
using PassedArguments = std::vector<PassedArgument>;

/// The values of a callee's parameters in their order; nothing for those that the call leaves out.
using BoundArguments = std::vector<std::optional<Value>>;

PassedArguments evaluate_arguments(const std::vector<Argument>& arguments, Environment& env);

/// Binds arguments to `parameters` as Python does: the first `required` must be there; an empty name can only
/// be given by position. An argument too many, or of another name, is an error of `env`. The result has the
/// size of `parameters` in any case.
BoundArguments bind_arguments(std::string_view callee, std::span<const std::string_view> parameters,
                              std::size_t required, PassedArguments passed, Environment& env);

/// A filter, a test or a method: its name, what it takes besides the value (names as in Jinja and Python,
/// empty where Python allows positions only), and what it does.
struct Callee {
  using Function = Value (*)(const Value& value, const BoundArguments& arguments, Environment& env);
  std::string_view name;
  Function function = nullptr;
  std::size_t required = 0;
  std::size_t count = 0;
  std::array<std::string_view, 4> parameters = {};

  Value call(const Value& value, PassedArguments passed, Environment& env) const;
};

/// Null where there is none of that name.
const Callee* find_callee(std::span<const Callee> callees, std::string_view name);

/// An argument as a truth value, `fallback` where it is left out.
bool flag_of(const std::optional<Value>& argument, bool fallback = false);
/// An argument as text; an error of `env` where it is something else. Null where it is left out or none.
const std::string* text_argument(const std::optional<Value>& argument, std::string_view callee,
                                 Environment& env);

}  // namespace expertscope::jinja
