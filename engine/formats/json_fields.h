// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace expertscope {

using Json = nlohmann::json;

/// Deepest nesting of arrays and objects that is accepted.
inline constexpr std::size_t kMaxJsonDepth = 100;
/// Most memory that a document may take, in bytes: a text of commas and zeros takes a hundred times its size.
inline constexpr std::size_t kMaxDocumentMemory = std::size_t{256} << 20;

/// What to do with an object that has the same key twice.
enum class DuplicateKeys : std::uint8_t { last_wins, refuse };

/// Which texts are JSON.
enum class JsonDialect : std::uint8_t {
  standard,
  /// Also what Python's json module writes and reads beyond the standard. NaN, Infinity and -Infinity become
  /// texts of that name, so that a field that needs a number still refuses them; half of a surrogate pair
  /// becomes U+FFFD.
  python,
};

struct JsonRules {
  DuplicateKeys duplicates = DuplicateKeys::last_wins;
  JsonDialect dialect = JsonDialect::standard;
  std::size_t max_memory = kMaxDocumentMemory;
  std::stop_token stop = {};
};

/// Parses untrusted JSON text in time and memory that its size bounds. Errors name `file`, and the line and
/// the column, or the key that is there twice, or what stands there instead of JSON (a Git LFS pointer, a web
/// page); ErrorCode::cancelled when told to stop.
Result<Json> parse_json(std::string_view text, const std::string& file, const JsonRules& rules = {});

/// The same for an object too large to be kept: every member is given away as soon as it was read, in the
/// order of the text, and then forgotten; `max_memory` holds for each. A member that is refused ends the
/// parsing with that error. A key that the object has twice is given twice. What is not an object comes back
/// whole; an object comes back empty.
using JsonMember = std::function<Status(const std::string& key, const Json& value)>;
Result<Json> parse_json_members(std::string_view text, const std::string& file, const JsonMember& member,
                                const JsonRules& rules = {});

/// Reads and parses a JSON file of at most `max_bytes`.
Result<Json> read_json_file(const std::filesystem::path& file, std::size_t max_bytes,
                            const JsonRules& rules = {});

/// A JSON value as text for an error message: one line, shortened, never throws.
std::string json_excerpt(const Json& value);

/// One object of an untrusted JSON document, read field by field. Every error names the file, the full path
/// of the field, what was expected and what is there. Does not own the document. An absent field and `null`
/// are the same; the `_or` forms return the fallback for both.
class JsonFields {
 public:
  /// `path` is what stands before a field's name in errors: empty for the document itself.
  static Result<JsonFields> of(const Json& value, std::string file, std::string path = {});

  /// Present and not null.
  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// The first of several names under which the field is present, or an empty string.
  std::string first_of(std::span<const char* const> keys) const;

  Result<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  Result<std::int64_t> integer_or(std::string_view key, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) const;
  /// A finite number in [min, max].
  Result<double> number(std::string_view key, double min, double max) const;
  Result<double> number_or(std::string_view key, double fallback, double min, double max) const;
  Result<bool> boolean(std::string_view key) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;
  /// An array of integers in [min, max].
  Result<std::vector<std::int64_t>> integers(std::string_view key, std::int64_t min, std::int64_t max) const;
  /// An integer or an array of integers; empty when absent.
  Result<std::vector<std::int64_t>> integers_or_one(std::string_view key, std::int64_t min,
                                                    std::int64_t max) const;
  Result<JsonFields> object(std::string_view key) const;
  /// An array of anything; the pointer is never null.
  Result<const Json*> array(std::string_view key) const;

  const Json& json() const { return *value_; }
  const std::string& file() const { return file_; }
  /// "rope_parameters.rope_type": how errors name the field.
  std::string path_of(std::string_view key) const;
  /// An error about one field: "config.json: num_experts: <message>".
  tl::unexpected<Error> error(ErrorCode code, std::string_view key, const std::string& message) const;
  /// The names of all fields, sorted.
  std::vector<std::string> keys() const;

 private:
  JsonFields(const Json& value, std::string file, std::string path)
      : value_(&value), file_(std::move(file)), path_(std::move(path)) {}
  const Json* find(std::string_view key) const;
  Result<const Json*> require(std::string_view key) const;
  tl::unexpected<Error> wrong_type(std::string_view key, const char* expected, const Json& value) const;
  Result<std::int64_t> to_integer(std::string_view key, const Json& value, std::int64_t min,
                                  std::int64_t max) const;

  const Json* value_;
  std::string file_;
  std::string path_;
};

}  // namespace expertscope
