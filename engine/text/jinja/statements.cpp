// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/statements.h"

#include <algorithm>

namespace expertscope::jinja {
namespace {

/// Bytes that one rendering may touch; a conversation of a million characters needs a few percent of it.
constexpr std::size_t kMaxWork = 256u << 20;
constexpr std::size_t kListElementCost = 64;
constexpr std::size_t kIterationCost = 4096;
constexpr std::size_t kMaxOutput = 64u << 20;

Value loop_object(const List& items, std::size_t index) {
  const auto at = static_cast<std::int64_t>(index);
  const auto size = static_cast<std::int64_t>(items.size());
  Object loop;
  loop["index0"] = at;
  loop["index"] = at + 1;
  loop["revindex0"] = size - at - 1;
  loop["revindex"] = size - at;
  loop["first"] = index == 0;
  loop["last"] = at + 1 == size;
  loop["length"] = size;
  loop["previtem"] = index > 0 ? items[index - 1] : Value();
  loop["nextitem"] = at + 1 < size ? items[index + 1] : Value();
  return loop;
}

}  // namespace

Value Environment::get(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
    if (const auto it = scope->find(name); it != scope->end()) return it->second;
  return {};
}

void Environment::write(std::string_view text) {
  if (output_.size() + text.size() > kMaxOutput) {
    error("the output grows too long");
    return;
  }
  output_ += text;
}

void Environment::define(const Macro& macro) {
  macros_.push_back(&macro);
}

const Macro* Environment::find_macro(const std::string& name) const {
  for (auto it = macros_.rbegin(); it != macros_.rend(); ++it)
    if ((*it)->name == name) return *it;
  return nullptr;
}

Value Environment::error(const std::string& message) {
  if (error_.empty()) error_ = message;
  return {};
}

Environment::~Environment() {
  for (const auto& value : namespaces_)
    value.object()->clear();
}

bool Environment::charge(std::size_t bytes) {
  work_ += std::min(bytes, kMaxWork);
  if (work_ > kMaxWork) error("it takes too many steps");
  return error_.empty();
}

Value Environment::charged(const Value& value) {
  if (const auto* text = value.string()) charge(text->size());
  if (const auto* list = value.list()) charge(list->size() * kListElementCost);
  return failed() ? Value() : value;
}

Value Environment::make_namespace(Object fields) {
  namespaces_.emplace_back(std::move(fields));
  return namespaces_.back();
}

void run_block(const Block& block, Environment& env) {
  for (const auto& statement : block) {
    if (!env.step()) return;
    statement->run(env);
  }
}

void If::run(Environment& env) const {
  for (const auto& [condition, block] : branches)
    if (!condition || condition->evaluate(env).truthy()) return run_block(block, env);
}

void For::run(Environment& env) const {
  const Value all = env.charged(items->evaluate(env));
  if (all.list() == nullptr && !all.is_undefined()) {
    env.error("a loop over something that is not a list");
    return;
  }
  if (env.failed()) return;
  List selected = all.list() != nullptr ? *all.list() : List{};
  if (names.size() != 1 && !selected.empty()) {
    env.error("a loop over pairs");
    return;
  }
  if (condition) {
    env.push();
    std::erase_if(selected, [&](const Value& item) {
      env.set(names.front(), item);
      return !condition->evaluate(env).truthy();
    });
    env.pop();
  }
  if (selected.empty()) return run_block(otherwise, env);
  for (std::size_t i = 0; i < selected.size() && env.charge(kIterationCost); ++i) {
    env.push();
    env.set(names.front(), selected[i]);
    env.set("loop", loop_object(selected, i));
    run_block(body, env);
    env.pop();
  }
}

void Set::run(Environment& env) const {
  Value result;
  if (value) {
    result = value->evaluate(env);
  } else {
    std::string outer = env.take_output();
    run_block(body, env);
    result = env.take_output();
    env.restore_output(std::move(outer));
  }
  if (field.empty()) return env.set(name, std::move(result));
  const Value target = env.get(name);
  if (target.object() == nullptr) {
    env.error("a field of something that is not a namespace is set");
    return;
  }
  (*target.object())[field] = std::move(result);
}

}  // namespace expertscope::jinja
