// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/json_fields.h"

#include <cmath>
#include <limits>

namespace expertscope {

std::string json_excerpt(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  constexpr std::size_t kLongest = 60;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

Result<JsonFields> JsonFields::of(const Json& value, std::string file, std::string path) {
  if (!value.is_object()) {
    const std::string where = path.empty() ? "the document" : path;
    return fail(ErrorCode::format, "{}: {}: expected an object, found {}", file, where, json_excerpt(value));
  }
  return JsonFields(value, std::move(file), std::move(path));
}

const Json* JsonFields::find(std::string_view key) const {
  const auto it = value_->find(key);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

std::string JsonFields::first_of(std::span<const char* const> keys) const {
  for (const char* key : keys)
    if (has(key)) return key;
  return {};
}

std::string JsonFields::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

tl::unexpected<Error> JsonFields::error(ErrorCode code, std::string_view key,
                                        const std::string& message) const {
  return fail(code, "{}: {}: {}", file_, path_of(key), message);
}

tl::unexpected<Error> JsonFields::wrong_type(std::string_view key, const char* expected,
                                             const Json& value) const {
  return error(ErrorCode::format, key, fmt::format("expected {}, found {}", expected, json_excerpt(value)));
}

Result<const Json*> JsonFields::require(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return error(ErrorCode::format, key, "this field is missing");
  return value;
}

Result<std::int64_t> JsonFields::to_integer(std::string_view key, const Json& value, std::int64_t min,
                                            std::int64_t max) const {
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_integer()) return wrong_type(key, "an integer", value);
  const bool fits = !value.is_number_unsigned() || value.get<std::uint64_t>() <= kLargest;
  const auto number = fits ? value.get<std::int64_t>() : 0;
  if (!fits || number < min || number > max)
    return error(ErrorCode::format, key,
                 fmt::format("{} is outside {} .. {}", json_excerpt(value), min, max));
  return number;
}

Result<std::int64_t> JsonFields::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const auto value = require(key);
  if (!value) return forward_error(value);
  return to_integer(key, **value, min, max);
}

Result<std::int64_t> JsonFields::integer_or(std::string_view key, std::int64_t fallback, std::int64_t min,
                                            std::int64_t max) const {
  return has(key) ? integer(key, min, max) : Result<std::int64_t>(fallback);
}

Result<double> JsonFields::number(std::string_view key, double min, double max) const {
  const auto value = require(key);
  if (!value) return forward_error(value);
  if (!(*value)->is_number()) return wrong_type(key, "a number", **value);
  const auto number = (*value)->get<double>();
  if (!(number >= min && number <= max) || !std::isfinite(number))
    return error(ErrorCode::format, key,
                 fmt::format("{} is outside {} .. {}", json_excerpt(**value), min, max));
  return number;
}

Result<double> JsonFields::number_or(std::string_view key, double fallback, double min, double max) const {
  return has(key) ? number(key, min, max) : Result<double>(fallback);
}

Result<bool> JsonFields::boolean(std::string_view key) const {
  const auto value = require(key);
  if (!value) return forward_error(value);
  if (!(*value)->is_boolean()) return wrong_type(key, "true or false", **value);
  return (*value)->get<bool>();
}

Result<bool> JsonFields::boolean_or(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : Result<bool>(fallback);
}

Result<std::string> JsonFields::string(std::string_view key) const {
  const auto value = require(key);
  if (!value) return forward_error(value);
  if (!(*value)->is_string()) return wrong_type(key, "a string", **value);
  return (*value)->get<std::string>();
}

Result<std::string> JsonFields::string_or(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : Result<std::string>(std::move(fallback));
}

Result<std::vector<std::int64_t>> JsonFields::integers(std::string_view key, std::int64_t min,
                                                       std::int64_t max) const {
  const auto list = array(key);
  if (!list) return forward_error(list);
  std::vector<std::int64_t> numbers;
  numbers.reserve((*list)->size());
  for (const Json& item : **list) {
    const auto number = to_integer(key, item, min, max);
    if (!number) return forward_error(number);
    numbers.push_back(*number);
  }
  return numbers;
}

Result<std::vector<std::int64_t>> JsonFields::integers_or_one(std::string_view key, std::int64_t min,
                                                              std::int64_t max) const {
  const Json* value = find(key);
  if (value == nullptr) return std::vector<std::int64_t>{};
  if (value->is_array()) return integers(key, min, max);
  const auto number = to_integer(key, *value, min, max);
  if (!number) return forward_error(number);
  return std::vector<std::int64_t>{*number};
}

Result<JsonFields> JsonFields::object(std::string_view key) const {
  const auto value = require(key);
  if (!value) return forward_error(value);
  return JsonFields::of(**value, file_, path_of(key));
}

Result<const Json*> JsonFields::array(std::string_view key) const {
  const auto value = require(key);
  if (!value) return forward_error(value);
  if (!(*value)->is_array()) return wrong_type(key, "an array", **value);
  return *value;
}

std::vector<std::string> JsonFields::keys() const {
  std::vector<std::string> names;
  for (const auto& item : value_->items())
    names.push_back(item.key());
  return names;
}

}  // namespace expertscope
