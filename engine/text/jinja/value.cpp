// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/value.h"

#include <algorithm>

namespace expertscope::jinja {
namespace {

/// So many fields are searched one by one.
constexpr std::size_t kFewFields = 16;

}  // namespace

Fields::Fields() = default;
Fields::Fields(std::initializer_list<Field> fields) {
  for (const auto& field : fields)
    (*this)[field.name] = field.value;
}

Value& Fields::operator[](std::string_view key) {
  if (const Value* there = find(key)) return const_cast<Value&>(*there);
  if (fields_.size() == kFewFields)
    for (std::size_t i = 0; i < fields_.size(); ++i)
      places_.emplace(fields_[i].name, i);
  if (fields_.size() >= kFewFields) places_.emplace(key, fields_.size());
  fields_.push_back({std::string(key), {}});
  return fields_.back().value;
}

const Value* Fields::find(std::string_view key) const {
  if (!places_.empty()) {
    const auto it = places_.find(key);
    return it == places_.end() ? nullptr : &fields_[it->second].value;
  }
  const auto it =
      std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.name == key; });
  return it == fields_.end() ? nullptr : &it->value;
}

std::size_t Fields::size() const {
  return fields_.size();
}
std::vector<Field>::const_iterator Fields::begin() const {
  return fields_.begin();
}
std::vector<Field>::const_iterator Fields::end() const {
  return fields_.end();
}

Value::Value(List value, bool tuple) {
  int depth = 0;
  for (const auto& item : value)
    depth = std::max(depth, item.depth());
  data_ = std::make_shared<const Items>(Items{std::move(value), tuple, depth + 1});
}

Value::Value(Object value) {
  int depth = 0;
  if (value.kind != ObjectKind::name_space)
    for (const auto& field : value.fields)
      depth = std::max(depth, field.value.depth());
  value.depth = depth + 1;
  data_ = std::make_shared<Object>(std::move(value));
}

Value::Value(Fields value) : Value(Object{std::move(value)}) {}

std::optional<std::int64_t> Value::number() const {
  if (const auto* value = boolean()) return *value ? 1 : 0;
  if (const auto* value = integer()) return *value;
  return {};
}

std::optional<double> Value::any_number() const {
  if (const auto* value = real()) return *value;
  if (const auto value = number()) return static_cast<double>(*value);
  return {};
}

const List* Value::list() const {
  const auto* items = dereference<const Items>();
  return items != nullptr ? &items->values : nullptr;
}

bool Value::is_tuple() const {
  const auto* items = dereference<const Items>();
  return items != nullptr && items->tuple;
}

const Fields* Value::mapping() const {
  const auto* value = object();
  return value != nullptr && value->kind == ObjectKind::mapping ? &value->fields : nullptr;
}

int Value::depth() const {
  if (const auto* items = dereference<const Items>()) return items->depth;
  const auto* value = object();
  return value != nullptr ? value->depth : 0;
}

bool Value::truthy() const {
  if (const auto value = any_number()) return *value != 0;
  if (const auto* value = string()) return !value->empty();
  if (const auto* value = list()) return !value->empty();
  if (const auto* value = mapping()) return !value->empty();
  return object() != nullptr;
}

}  // namespace expertscope::jinja
