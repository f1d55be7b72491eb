// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include "engine/text/jinja/functions.h"
#include "engine/text/jinja/operations.h"

namespace expertscope::jinja {
namespace {

using Arguments = BoundArguments;

Value defined(const Value& value, const Arguments&, Environment&) {
  return !value.is_undefined();
}
Value undefined(const Value& value, const Arguments&, Environment&) {
  return value.is_undefined();
}
Value none(const Value& value, const Arguments&, Environment&) {
  return value.is_none();
}
Value string(const Value& value, const Arguments&, Environment&) {
  return value.string() != nullptr;
}
Value mapping(const Value& value, const Arguments&, Environment&) {
  return value.mapping() != nullptr;
}
Value number(const Value& value, const Arguments&, Environment&) {
  return value.any_number().has_value();
}
Value integer(const Value& value, const Arguments&, Environment&) {
  return value.integer() != nullptr;
}
Value real(const Value& value, const Arguments&, Environment&) {
  return value.real() != nullptr;
}
Value boolean(const Value& value, const Arguments&, Environment&) {
  return value.boolean() != nullptr;
}
Value is_true(const Value& value, const Arguments&, Environment&) {
  return value.boolean() != nullptr && *value.boolean();
}
Value is_false(const Value& value, const Arguments&, Environment&) {
  return value.boolean() != nullptr && !*value.boolean();
}
/// What is undefined counts as an empty sequence.
Value sequence(const Value& value, const Arguments&, Environment&) {
  return value.list() != nullptr || value.string() != nullptr || value.mapping() != nullptr ||
         value.is_undefined();
}
Value iterable(const Value& value, const Arguments& arguments, Environment& env) {
  if (value.object() != nullptr && value.object()->kind == ObjectKind::loop) return true;
  return sequence(value, arguments, env);
}
Value callable(const Value& value, const Arguments&, Environment&) {
  return value.object() != nullptr && value.object()->kind == ObjectKind::function;
}

Value equals(const Value& value, const Arguments& arguments, Environment& env) {
  return equal(value, *arguments[0], env);
}
Value differs(const Value& value, const Arguments& arguments, Environment& env) {
  return !equal(value, *arguments[0], env);
}
Value is_less(const Value& value, const Arguments& arguments, Environment& env) {
  return less(value, *arguments[0], env);
}
Value is_greater(const Value& value, const Arguments& arguments, Environment& env) {
  return less(*arguments[0], value, env);
}
Value at_most(const Value& value, const Arguments& arguments, Environment& env) {
  return !less(*arguments[0], value, env);
}
Value at_least(const Value& value, const Arguments& arguments, Environment& env) {
  return !less(value, *arguments[0], env);
}
Value in(const Value& value, const Arguments& arguments, Environment& env) {
  return contains(value, *arguments[0], env);
}

Value remainder_is(const Value& value, const Value& divisor, std::int64_t wanted, Environment& env) {
  return equal(arithmetic("%", value, divisor, env), wanted, env);
}
Value divisible(const Value& value, const Arguments& arguments, Environment& env) {
  return remainder_is(value, *arguments[0], 0, env);
}
Value even(const Value& value, const Arguments&, Environment& env) {
  return remainder_is(value, std::int64_t{2}, 0, env);
}
Value odd(const Value& value, const Arguments&, Environment& env) {
  return remainder_is(value, std::int64_t{2}, 1, env);
}

constexpr Callee kTests[] = {
    {"!=", differs, 1, 1},
    {"<", is_less, 1, 1},
    {"<=", at_most, 1, 1},
    {"==", equals, 1, 1},
    {">", is_greater, 1, 1},
    {">=", at_least, 1, 1},
    {"boolean", boolean},
    {"callable", callable},
    {"defined", defined},
    {"divisibleby", divisible, 1, 1},
    {"eq", equals, 1, 1},
    {"equalto", equals, 1, 1},
    {"even", even},
    {"false", is_false},
    {"float", real},
    {"ge", at_least, 1, 1},
    {"greaterthan", is_greater, 1, 1},
    {"gt", is_greater, 1, 1},
    {"in", in, 1, 1},
    {"integer", integer},
    {"iterable", iterable},
    {"le", at_most, 1, 1},
    {"lessthan", is_less, 1, 1},
    {"lt", is_less, 1, 1},
    {"mapping", mapping},
    {"ne", differs, 1, 1},
    {"none", none},
    {"number", number},
    {"odd", odd},
    {"sequence", sequence},
    {"string", string},
    {"true", is_true},
    {"undefined", undefined},
};

}  // namespace

bool is_known_test(std::string_view name) {
  return find_callee(kTests, name) != nullptr;
}

bool apply_test(std::string_view name, const Value& value, PassedArguments arguments, Environment& env) {
  const auto* test = find_callee(kTests, name);
  if (test == nullptr) {
    env.error(fmt::format("the test \"is {}\" is not understood", name));
    return false;
  }
  return test->call(value, std::move(arguments), env).truthy();
}

}  // namespace expertscope::jinja
