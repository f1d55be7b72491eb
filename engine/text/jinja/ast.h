// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/jinja/value.h"

namespace expertscope::jinja {

struct Macro;

/// The state of one rendering. Evaluation never throws and never runs away: an operation that makes no sense,
/// or a template that takes too many steps, sets the error and yields undefined.
class Environment {
 public:
  explicit Environment(Object globals) { scopes_.push_back(std::move(globals)); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  Value get(const std::string& name) const;
  void set(const std::string& name, Value value) { scopes_.back()[name] = std::move(value); }
  void push() { scopes_.emplace_back(); }
  void pop() { scopes_.pop_back(); }

  void write(std::string_view text);
  std::string take_output() { return std::exchange(output_, {}); }
  void restore_output(std::string output) { output_ = std::move(output); }

  void define(const Macro& macro);
  const Macro* find_macro(const std::string& name) const;

  /// Records the first error; everything after it is of no interest.
  Value error(const std::string& message);
  const std::string& error_message() const { return error_; }
  /// Counts one step; false when rendering must end.
  bool step() { return charge(kStepCost); }
  /// Counts work and memory in bytes touched; false when rendering must end.
  bool charge(std::size_t bytes);
  /// The same for what making `value` took.
  Value charged(const Value& value);
  /// A namespace, which may come to hold itself: cut loose when rendering is over.
  Value make_namespace(Object fields);
  bool failed() const { return !error_.empty(); }
  /// Bounds recursion through macros.
  int depth = 0;

 private:
  std::vector<Object> scopes_;
  std::vector<const Macro*> macros_;
  std::string output_;
  static constexpr std::size_t kStepCost = 128;
  std::vector<Value> namespaces_;
  std::string error_;
  std::size_t work_ = 0;
};

/// An expression.
struct Expression {
  virtual ~Expression() = default;
  virtual Value evaluate(Environment& env) const = 0;
};
using ExpressionPtr = std::unique_ptr<const Expression>;

/// An argument of a call: positional when the name is empty.
struct Argument {
  std::string name;
  ExpressionPtr value;
};

/// A statement, or literal text.
struct Statement {
  virtual ~Statement() = default;
  virtual void run(Environment& env) const = 0;
};
using Block = std::vector<std::unique_ptr<const Statement>>;

void run_block(const Block& block, Environment& env);

/// A macro: a named block with parameters, whose output is its value.
struct Macro {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  ///< with default, or null
  Block body;
};

}  // namespace expertscope::jinja
