// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/text/charsmap.h"
#include "engine/text/normalizer.h"

namespace expertscope {

/// "normalizer_spec" of a model of SentencePiece.
struct SentencePieceRules {
  std::optional<Charsmap> charsmap;
  bool dummy_prefix = true;         ///< a space before every text
  bool remove_extra_spaces = true;  ///< at both ends, and all but one of those between
  bool escape_spaces = true;        ///< U+2581 for every space
  std::vector<std::string> kept;    ///< pieces that stay as they are
};

/// Rewrites texts as SentencePiece does (Normalizer::Normalize of its normalizer.cc). `where` names the file
/// and the field in errors.
std::unique_ptr<const Normalizer> sentencepiece_normalizer(SentencePieceRules rules, std::string where);

}  // namespace expertscope
