// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "engine/text/jinja/ast.h"

namespace expertscope::jinja {

struct Text : Statement {
  explicit Text(std::string t) : text(std::move(t)) {}
  void run(Environment& env) const override { env.write(text); }
  std::string text;
};

/// {{ value }}
struct Output : Statement {
  explicit Output(ExpressionPtr v) : value(std::move(v)) {}
  void run(Environment& env) const override;
  ExpressionPtr value;
};

/// {% if %} ... {% elif %} ... {% else %}: the condition of `else` is null.
struct If : Statement {
  void run(Environment& env) const override;
  std::vector<std::pair<ExpressionPtr, Block>> branches;
};

/// {% for name in items if condition %} ... {% else %} ... {% endfor %}
struct For : Statement {
  void run(Environment& env) const override;
  List selected(Environment& env) const;
  std::vector<std::string> names;  ///< more than one unpacks each item
  ExpressionPtr items;
  ExpressionPtr condition;  ///< or null
  Block body;
  Block otherwise;
};

/// {% set name = value %}, {% set a, b = pair %}, {% set object.field = value %} or {% set name %} ...
/// {% endset %}
struct Set : Statement {
  void run(Environment& env) const override;
  std::vector<std::string> names;
  std::string field;    ///< empty: the names themselves
  ExpressionPtr value;  ///< null: the output of the body
  Block body;
};

struct MacroDefinition : Statement {
  void run(Environment& env) const override { env.define(macro); }
  Macro macro;
};

/// {% break %} or {% continue %}
struct Leave : Statement {
  explicit Leave(Environment::Leave w) : what(w) {}
  void run(Environment& env) const override { env.leave = what; }
  Environment::Leave what;
};

/// {% generation %}: marks the assistant's text for training and prints it.
struct Group : Statement {
  void run(Environment& env) const override {
    env.push();
    run_block(body, env);
    env.pop();
  }
  Block body;
};

}  // namespace expertscope::jinja
