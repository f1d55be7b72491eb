// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/json_fields.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/formats/mapped_file.h"

namespace expertscope {
namespace {

/// Finds where a document that does not parse goes wrong, without exceptions.
struct ErrorPosition : nlohmann::json_sax<Json> {
  std::size_t position = 0;
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception&) override {
    position = at;
    return false;
  }
};

std::string describe_position(std::string_view text, std::size_t position) {
  const std::size_t at = std::min(position == 0 ? 0 : position - 1, text.size());
  const auto before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto line_start = before.rfind('\n');
  const auto column = at - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1;
  return fmt::format("line {}, column {}", line, column);
}

/// Recursion over a document (copies, dumps) is only safe when its depth is bounded before it is built.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

/// Builds the document while looking for a key that stands twice in one object.
Json parse_unique(std::string_view text, std::string& duplicate) {
  std::vector<std::set<std::string>> open;
  const auto callback = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end && !open.empty()) open.pop_back();
    if (event == Json::parse_event_t::key && !open.empty()) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open.back().insert(key).second && duplicate.empty()) duplicate = key;
    }
    return true;
  };
  return Json::parse(text.begin(), text.end(), callback, false);
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& file, DuplicateKeys duplicates) {
  if (too_deep(text))
    return fail(ErrorCode::format, "{}: JSON is nested deeper than {} levels", file, kMaxJsonDepth);
  std::string duplicate;
  Json document = duplicates == DuplicateKeys::refuse ? parse_unique(text, duplicate)
                                                      : Json::parse(text.begin(), text.end(), nullptr, false);
  if (document.is_discarded()) {
    ErrorPosition error;
    Json::sax_parse(text.begin(), text.end(), &error);
    return fail(ErrorCode::format, "{}: not valid JSON at {}", file, describe_position(text, error.position));
  }
  if (!duplicate.empty())
    return fail(ErrorCode::format, "{}: the key \"{}\" is there twice", file, duplicate);
  return document;
}

Result<Json> read_json_file(const std::filesystem::path& file, std::size_t max_bytes,
                            DuplicateKeys duplicates) {
  const auto text = read_file(file, max_bytes);
  if (!text) return forward_error(text);
  return parse_json(*text, file.string(), duplicates);
}

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
