// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/value.h"

namespace expertscope::jinja {

std::optional<std::int64_t> Value::number() const {
  if (const auto* value = boolean()) return *value ? 1 : 0;
  if (const auto* value = integer()) return *value;
  return {};
}

const Object* Value::mapping() const {
  const auto* value = object();
  return value != nullptr && value->kind == ObjectKind::mapping ? value : nullptr;
}

bool Value::truthy() const {
  if (const auto value = number()) return *value != 0;
  if (const auto* value = string()) return !value->empty();
  if (const auto* value = list()) return !value->empty();
  if (const auto* value = mapping()) return !value->fields.empty();
  return object() != nullptr;
}

std::optional<std::string> Value::text() const {
  if (const auto* value = string()) return *value;
  if (const auto* value = integer()) return std::to_string(*value);
  if (const auto* value = boolean()) return *value ? "True" : "False";
  if (is_none()) return "None";
  if (is_undefined()) return "";
  return {};
}

}  // namespace expertscope::jinja
