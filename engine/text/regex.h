// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

/// Working memory for matching, and the steps that matching may still take: one per thread and text, reused
/// from match to match and pattern to pattern.
class RegexScratch {
 public:
  RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  ~RegexScratch();

  /// What all matching with it has cost so far: every place that matching came back to, and every character
  /// that a repeat ran over.
  std::uint64_t steps() const;

 private:
  friend class Regex;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A pattern as tokenizer.json has it (Oniguruma's syntax), translated to what means the same in
/// PCRE2 and refused where nothing does, compiled with PCRE2 (UTF, UCP, JIT). Immutable and safe to share
/// between threads.
class Regex {
 public:
  /// `where` names the file and the field in errors.
  static Result<Regex> compile(std::string_view pattern, const std::string& where);
  /// A pattern that matches `text` itself.
  static Result<Regex> literal(std::string_view text, const std::string& where);

  /// Calls `found(begin, end)` for every match in turn; two matches never touch with the second one empty.
  /// `text` must be valid UTF-8. With one scratch, all texts may take 100 steps a byte and a million on top;
  /// a pattern that needs more is an error, not a hang.
  Status for_each_match(std::string_view text, RegexScratch& scratch,
                        const std::function<void(std::size_t begin, std::size_t end)>& found) const;

 private:
  struct Code;
  Regex() = default;
  Status match_error(const RegexScratch& scratch, int code) const;
  std::shared_ptr<const Code> code_;
  std::string where_;
};

}  // namespace expertscope
