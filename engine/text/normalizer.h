// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/regex.h"

namespace expertscope {

/// Rewrites text before it is split: the "normalizer" of tokenizer.json. Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// `text` is valid UTF-8, and so is the result. A text that grows far beyond what Unicode normalisation can
  /// ask for is an error that names the file and the field.
  /// `scratch` limits what the patterns of all pieces of one text may cost together.
  virtual Result<std::string> apply(std::string text, RegexScratch& scratch) const = 0;

  /// NFC, NFD, NFKC, NFKD, Lowercase, Nmt, Precompiled, Prepend, Replace, Strip, StripAccents or a Sequence
  /// of them; others are refused by name. Null for `null`, which changes nothing.
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonFields& root, std::string_view key);
};

}  // namespace expertscope
