// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/jinja/limits.h"
#include "engine/text/jinja/value.h"

namespace expertscope::jinja {

struct Macro;

/// The state of one rendering. Evaluation never throws and never runs away: an operation that makes no sense,
/// or a template that takes too many steps, sets the error and yields undefined.
class Environment {
 public:
  /// `now`: what strftime_now() writes out. Templates ask whether functions are defined.
  explicit Environment(const Fields& globals, const std::tm& now = {}) : now_(now) {
    push();
    for (const char* function : {"dict", "namespace", "raise_exception", "range", "strftime_now"})
      set(function, Object{{}, ObjectKind::function});
    for (const auto& [name, value] : globals)
      set(name, value);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  const std::tm& now() const { return now_; }
  Value get(const std::string& name);
  void set(const std::string& name, Value value) { scopes_.back()[name] = std::move(value); }
  void push() { scopes_.emplace_back(); }
  void pop() { scopes_.pop_back(); }

  /// A macro sees the globals and its own variables, not those of its caller. `enter_macro` gives what
  /// `leave_macro` needs.
  std::size_t enter_macro();
  void leave_macro(std::size_t caller);

  void write(std::string_view text);
  std::string take_output() { return std::exchange(output_, {}); }
  void restore_output(std::string output) { output_ = std::move(output); }

  void define(const Macro& macro);
  const Macro* find_macro(std::string_view name) const;

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
  Value make_namespace(Fields fields);
  bool failed() const { return !error_.empty(); }
  /// What a {% break %} or {% continue %} left to do: the blocks around it end until the loop takes it.
  enum class Leave : std::uint8_t { nothing, iteration, loop } leave = Leave::nothing;
  /// Bound recursion: macros that are running, expressions that are being evaluated.
  int macro_depth = 0;
  int expression_depth = 0;

 private:
  std::tm now_;
  using Scope = std::map<std::string, Value, std::less<>>;
  std::vector<Scope> scopes_;    ///< the globals first
  std::size_t first_local_ = 1;  ///< the outermost scope that is seen besides the globals
  std::map<std::string_view, const Macro*> macros_;
  std::string output_;
  std::vector<Value> namespaces_;
  std::string error_;
  std::size_t work_ = 0;
};

/// An expression. `evaluate` counts the step and the depth for every kind of it.
struct Expression {
  virtual ~Expression() = default;
  Value evaluate(Environment& env) const {
    if (env.expression_depth >= kMaxExpressionDepth) return env.error("expressions nest too deeply");
    if (!env.step()) return {};
    ++env.expression_depth;
    Value value = compute(env);
    --env.expression_depth;
    return value;
  }

 private:
  virtual Value compute(Environment& env) const = 0;
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

/// The parameters of a macro with their defaults, which may be null.
using MacroParameters = std::vector<std::pair<std::string, ExpressionPtr>>;

/// A macro: a named block with parameters, whose output is its value.
struct Macro {
  std::string name;
  MacroParameters parameters;
  Block body;
};

}  // namespace expertscope::jinja
