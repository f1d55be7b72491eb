// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/value.h"

namespace expertscope::jinja {

bool Value::truthy() const {
  if (const auto* value = boolean()) return *value;
  if (const auto* value = integer()) return *value != 0;
  if (const auto* value = string()) return !value->empty();
  if (const auto* value = list()) return !value->empty();
  if (const auto* value = object()) return !value->empty();
  return false;
}

std::string Value::text() const {
  if (const auto* value = string()) return *value;
  if (const auto* value = integer()) return std::to_string(*value);
  if (const auto* value = boolean()) return *value ? "True" : "False";
  if (is_none()) return "None";
  return {};
}

bool operator==(const Value& a, const Value& b) {
  if (a.string() != nullptr && b.string() != nullptr) return *a.string() == *b.string();
  if (a.boolean() != nullptr && b.boolean() != nullptr) return *a.boolean() == *b.boolean();
  if (a.integer() != nullptr && b.integer() != nullptr) return *a.integer() == *b.integer();
  if (a.list() != nullptr && b.list() != nullptr) return *a.list() == *b.list();
  if (a.object() != nullptr && b.object() != nullptr) return a.object() == b.object();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

}  // namespace expertscope::jinja
