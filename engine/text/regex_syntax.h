// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

/// Rewrites a pattern of Oniguruma's own syntax, which tokenizers uses, so that PCRE2 (with UTF, UCP and
/// MULTILINE) finds the same matches. Everything is written anew from what was understood; what has no
/// equivalent, and what Oniguruma refuses, is an error that says what it is and at which byte. `where` names
/// the file and the field. The result has a callout (?C) wherever matching can come back to, so that whoever
/// runs it can count its steps: between two of them lies at most the pattern once, or what one repeat runs
/// over.
Result<std::string> oniguruma_to_pcre(std::string_view pattern, const std::string& where);

}  // namespace expertscope
