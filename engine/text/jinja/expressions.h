// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/text/jinja/ast.h"

namespace expertscope::jinja {

struct Literal : Expression {
  explicit Literal(Value v) : value(std::move(v)) {}
  Value compute(Environment&) const override { return value; }
  Value value;
};

struct Name : Expression {
  explicit Name(std::string n) : name(std::move(n)) {}
  Value compute(Environment& env) const override { return env.get(name); }
  std::string name;
};

/// `[...]`, `(...,)`
struct ListDisplay : Expression {
  Value compute(Environment& env) const override;
  std::vector<ExpressionPtr> items;
  bool tuple = false;
};

/// `{key: value, ...}`
struct MappingDisplay : Expression {
  Value compute(Environment& env) const override;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};

/// and, or, ==, !=, <, >, <=, >=, in, not in, +, -, *, /, //, %, ~
struct Binary : Expression {
  Binary(std::string o, ExpressionPtr l, ExpressionPtr r)
      : op(std::move(o)), left(std::move(l)), right(std::move(r)) {}
  Value compute(Environment& env) const override;
  std::string op;
  ExpressionPtr left, right;
};

/// not, -
struct Unary : Expression {
  Unary(std::string o, ExpressionPtr v) : op(std::move(o)), operand(std::move(v)) {}
  Value compute(Environment& env) const override;
  std::string op;
  ExpressionPtr operand;
};

/// `then if condition else otherwise`; `otherwise` may be null.
struct Conditional : Expression {
  Value compute(Environment& env) const override;
  ExpressionPtr condition, then, otherwise;
};

/// `value[index]`, and `value.name` with `dotted`.
struct Subscript : Expression {
  Subscript(ExpressionPtr v, ExpressionPtr i, bool d) : value(std::move(v)), index(std::move(i)), dotted(d) {}
  Value compute(Environment& env) const override;
  ExpressionPtr value, index;
  bool dotted;
};

/// `value[start:stop:step]`; absent parts are null.
struct Slice : Expression {
  Value compute(Environment& env) const override;
  ExpressionPtr value;
  std::array<ExpressionPtr, 3> parts;
};

/// `value | name(arguments)`.
struct Filter : Expression {
  Value compute(Environment& env) const override;
  ExpressionPtr value;
  std::string name;
  std::vector<Argument> arguments;
};

/// `value is name(arguments)`.
struct Test : Expression {
  Value compute(Environment& env) const override;
  ExpressionPtr value;
  std::string name;
  std::vector<Argument> arguments;
};

/// `value.name(arguments)`.
struct MethodCall : Expression {
  Value compute(Environment& env) const override;
  ExpressionPtr value;
  std::string name;
  std::vector<Argument> arguments;
};

/// `name(arguments)`: dict, namespace, range, raise_exception, strftime_now or a macro.
struct FunctionCall : Expression {
  Value compute(Environment& env) const override;
  std::string name;
  std::vector<Argument> arguments;
};

}  // namespace expertscope::jinja
