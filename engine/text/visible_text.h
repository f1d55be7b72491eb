// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace expertscope {

/// What becomes of line breaks and tabs.
enum class LineBreaks : std::uint8_t {
  spell_out,  ///< \n and \t: the text stays on its line
  keep,       ///< as they are: the text is shown as it is meant
};

/// Whether a character shows nothing, or makes what stands beside it read as something else: marks of the
/// direction of writing (UAX #9), characters of no width, tags, line separators. The joiners and variation
/// selectors of words and emoji are among them.
bool is_invisible(char32_t c);

/// Text of a file or a model, fit for a terminal, a page or a label: characters that could move the cursor,
/// send the terminal a command, hide or reverse what stands beside them become \r or \uNNNN, bytes that are
/// no UTF-8 \xNN. Joiners and variation selectors stay where they do their work. The result is valid UTF-8.
/// It is for reading: backslashes of the text stay single. JSON stays the same JSON.
std::string visible_text(std::string_view text, LineBreaks line_breaks = LineBreaks::spell_out);

}  // namespace expertscope
