// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"

namespace expertscope {

/// The keys of one object of a config.json, as a family reads them. Every key is on one of three lists: read,
/// known to change nothing, or refused by its name and value at the end; a setting that nobody looked at
/// would be a model computed wrongly without a word.
///
/// Keeps the first error, so that a reader checks once, at the end. What is absent or null counts as absent.
class ConfigKeys {
 public:
  /// Names under which families spell a key; the first that is present counts, all of them are read.
  using Names = std::initializer_list<const char*>;

  /// What a source calls a key of config.json.
  struct Alias {
    const char* key;
    const char* here;
  };
  using Aliases = std::span<const Alias>;

  explicit ConfigKeys(const JsonFields& fields, Aliases aliases = {}) : fields_(fields), aliases_(aliases) {}

  static constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();
  static constexpr std::int64_t kMaxWidth = 1 << 20;
  static constexpr std::int64_t kMaxVocabulary = 1 << 24;
  static constexpr std::int64_t kMaxLayers = 4096;
  static constexpr std::int64_t kMaxHeads = 65536;
  static constexpr std::int64_t kMaxExperts = 65536;

  bool has(Names names);
  /// 1 .. max, which must be there.
  int size(Names names, std::int64_t max);
  int size_or(Names names, int fallback, std::int64_t max);
  /// From 0 on.
  int count_or(Names names, int fallback, std::int64_t max);
  bool flag(Names names, bool fallback);
  double number(Names names, double fallback, double min, double max);
  std::string text(Names names, const char* fallback);
  std::vector<std::int64_t> integers(Names names);
  /// Empty where the key is absent or no object.
  std::optional<JsonFields> object(const char* key);

  /// A setting that would change the results and does not run here: any value but absent and `harmless`,
  /// whose elements a list must consist of, is refused by name. `why`: "only ... is supported".
  void only(const char* key, const std::vector<Json>& harmless, std::string_view why = {});
  /// Keys that change nothing, whatever they say.
  void ignore(Names names);
  /// What transformers 4 and 5, the hub and training programs write into every config.
  void ignore_usual();

  /// An error about a key, unless there was one before.
  void refuse(ErrorCode code, const char* key, const std::string& message);
  /// The same with an error that is there already.
  void fail(const Status& error) {
    if (status_) status_ = error;
  }
  const Status& status() const { return status_; }
  /// The first error; or an error about the first key on no list.
  Status finish();

  const JsonFields& fields() const { return fields_; }
  Aliases aliases() const { return aliases_; }
  /// The name under which a value stands in this file; the first name when it is absent.
  const char* present(Names names) const;

 private:
  const char* here(const char* key) const;
  const char* take(Names names);
  template <class T>
  T keep(Result<T> result, T fallback);

  const JsonFields& fields_;
  Aliases aliases_;
  std::set<std::string, std::less<>> known_;
  Status status_;
};

}  // namespace expertscope
