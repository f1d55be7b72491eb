// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <string_view>

namespace expertscope {

/// What a token shows on a chip or in a table: control characters as pictures (newline, tab), leading and
/// trailing spaces as a middle dot, bytes that are not UTF-8 on their own as \xNN, invisible characters as
/// \uNNNN. Never empty for non-empty bytes.
QString visible_token_text(std::string_view bytes);

/// Text in running context: newlines become a return arrow, what hides or reverses other text is spelled out,
/// the rest stays; bytes that are not UTF-8 become U+FFFD.
QString running_text(std::string_view bytes);

}  // namespace expertscope
