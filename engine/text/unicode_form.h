// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };

/// The text in a normalisation form of Unicode (UAX 15; the characters are those of utf8proc). `text` is
/// valid UTF-8. The work is proportional to its length, whatever the order of its marks; `steps`, where
/// given, is increased by it: characters that were written or moved.
Result<std::string> to_unicode_form(std::string_view text, UnicodeForm form, std::uint64_t* steps = nullptr);

/// The version of Unicode that normal forms and lower case follow: that of utf8proc.
std::string_view unicode_of_forms();

}  // namespace expertscope
