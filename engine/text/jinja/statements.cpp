// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/statements.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/text/jinja/operations.h"
#include "engine/text/jinja/printing.h"

namespace expertscope::jinja {
namespace {

Value loop_object(const List& items, std::size_t index) {
  const auto at = static_cast<std::int64_t>(index);
  const auto size = static_cast<std::int64_t>(items.size());
  Fields loop;
  loop["depth0"] = std::int64_t{0};  // counts recursive loops, which are not understood
  loop["depth"] = std::int64_t{1};
  loop["index0"] = at;
  loop["index"] = at + 1;
  loop["revindex0"] = size - at - 1;
  loop["revindex"] = size - at;
  loop["first"] = index == 0;
  loop["last"] = at + 1 == size;
  loop["length"] = size;
  loop["previtem"] = index > 0 ? items[index - 1] : Value();
  loop["nextitem"] = at + 1 < size ? items[index + 1] : Value();
  return Object{std::move(loop), ObjectKind::loop};
}

/// One name takes the value, several take its elements.
void assign(const std::vector<std::string>& names, const Value& value, Environment& env) {
  if (names.size() == 1) return env.set(names.front(), value);
  const auto parts = items_of(value, env);
  if (env.failed()) return;
  if (!parts || parts->size() != names.size()) {
    env.error(fmt::format("{} names for something that does not have as many parts", names.size()));
    return;
  }
  for (std::size_t i = 0; i < names.size(); ++i)
    env.set(names[i], (*parts)[i]);
}

}  // namespace

Value Environment::get(const std::string& name) {
  std::size_t looked_up = 0;
  Value found;
  const auto look_up = [&](const Scope& scope) {
    ++looked_up;
    const auto it = scope.find(name);
    if (it != scope.end()) found = it->second;
    return it != scope.end();
  };
  bool done = false;
  for (std::size_t i = scopes_.size(); i > first_local_ && !done; --i)
    done = look_up(scopes_[i - 1]);
  if (!done) look_up(scopes_.front());
  charge(looked_up * (kLookupCost + name.size()));
  return found;
}

std::size_t Environment::enter_macro() {
  ++macro_depth;
  scopes_.emplace_back();
  return std::exchange(first_local_, scopes_.size() - 1);
}

void Environment::leave_macro(std::size_t caller) {
  first_local_ = caller;
  scopes_.pop_back();
  --macro_depth;
}

void Environment::write(std::string_view text) {
  if (output_.size() + text.size() > kMaxOutput) {
    error("the output grows too long");
    return;
  }
  if (charge(text.size())) output_ += text;
}

void Environment::define(const Macro& macro) {
  // It would see what stands around it, unlike all others.
  if (scopes_.size() > 1) {
    error("a macro inside a loop or a macro");
    return;
  }
  macros_[macro.name] = &macro;
  set(macro.name, Object{{}, ObjectKind::function});
}

const Macro* Environment::find_macro(std::string_view name) const {
  const auto it = macros_.find(name);
  return it != macros_.end() ? it->second : nullptr;
}

Value Environment::error(const std::string& message) {
  if (error_.empty()) error_ = message;
  return {};
}

Environment::~Environment() {
  for (const auto& value : namespaces_)
    value.object()->fields = {};
}

bool Environment::charge(std::size_t bytes) {
  work_ += std::min(bytes, kMaxWork);
  if (work_ > kMaxWork) error("it takes too many steps");
  return error_.empty();
}

Value Environment::charged(const Value& value) {
  if (const auto* text = value.string()) charge(text->size());
  if (const auto* list = value.list()) charge(list->size() * kListElementCost);
  if (value.depth() > kMaxValueDepth) error("lists or mappings nest too deeply");
  return failed() ? Value() : value;
}

Value Environment::make_namespace(Fields fields) {
  namespaces_.emplace_back(Object{std::move(fields), ObjectKind::name_space});
  return namespaces_.back();
}

void run_block(const Block& block, Environment& env) {
  for (const auto& statement : block) {
    if (!env.step() || env.leave != Environment::Leave::nothing) return;
    statement->run(env);
  }
}

void Output::run(Environment& env) const {
  env.write(printed(value->evaluate(env), env));
}

void If::run(Environment& env) const {
  for (const auto& [condition, block] : branches) {
    if (!env.step()) return;
    if (!condition || condition->evaluate(env).truthy()) return run_block(block, env);
  }
}

List For::selected(Environment& env) const {
  auto all = items_of(env.charged(items->evaluate(env)), env);
  if (!all) env.error("a loop over something that is not a list");
  if (env.failed()) return {};
  if (condition) {
    env.push();
    std::erase_if(*all, [&](const Value& item) {
      assign(names, item, env);
      return !condition->evaluate(env).truthy();
    });
    env.pop();
  }
  return std::move(*all);
}

void For::run(Environment& env) const {
  const List list = selected(env);
  if (list.empty()) return run_block(otherwise, env);
  for (std::size_t i = 0; i < list.size() && env.charge(kIterationCost); ++i) {
    env.push();
    assign(names, list[i], env);
    env.set("loop", loop_object(list, i));
    run_block(body, env);
    env.pop();
    const auto leave = std::exchange(env.leave, Environment::Leave::nothing);
    if (leave == Environment::Leave::loop) break;
  }
}

void Set::run(Environment& env) const {
  Value result;
  if (value) {
    result = value->evaluate(env);
  } else {
    std::string outer = env.take_output();
    env.push();
    run_block(body, env);
    env.pop();
    result = env.take_output();
    env.restore_output(std::move(outer));
  }
  if (field.empty()) return assign(names, result, env);
  const Value target = env.get(names.front());
  if (target.object() == nullptr || target.object()->kind != ObjectKind::name_space) {
    env.error("a field of something that is not a namespace is set");
    return;
  }
  target.object()->fields[field] = std::move(result);
}

}  // namespace expertscope::jinja
