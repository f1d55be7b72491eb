// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

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

}  // namespace expertscope::jinja
