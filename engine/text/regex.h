// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

/// Working memory for matching: one per thread and call, reused from match to match.
class RegexScratch {
 public:
  RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  ~RegexScratch();

 private:
  friend class Regex;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A pattern as tokenizer.json has it (Oniguruma's syntax, as far as tokenizers use it), compiled with PCRE2
/// (UTF, UCP, JIT). Immutable and safe to share between threads.
class Regex {
 public:
  /// `where` names the file and the field in errors. Constructs that PCRE2 would read differently are
  /// refused.
  static Result<Regex> compile(std::string_view pattern, const std::string& where);
  /// A pattern that matches `text` itself.
  static Result<Regex> literal(std::string_view text, const std::string& where);

  /// Calls `found(begin, end)` for every match in turn; two matches never touch with the second one empty.
  /// `text` must be valid UTF-8. A pattern that needs too many steps is an error, not a hang.
  Status for_each_match(std::string_view text, RegexScratch& scratch,
                        const std::function<void(std::size_t begin, std::size_t end)>& found) const;

 private:
  struct Code;
  Regex() = default;
  std::shared_ptr<const Code> code_;
  std::string where_;
};

}  // namespace expertscope
