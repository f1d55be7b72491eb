// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/visible_text.h"

#include <fmt/format.h>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0);  // C0, DEL and C1, where U+009B begins a command like ESC [
}

/// Line and paragraph separator, and what embeds, overrides or isolates a direction of writing (UAX #9):
/// with those a text can make its surroundings read as something else.
bool is_rearranging(char32_t c) {
  return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

std::string spelled_out(char32_t c) {
  if (c == U'\n') return "\\n";
  if (c == U'\t') return "\\t";
  if (c == U'\r') return "\\r";
  return fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
}

}  // namespace

std::string visible_text(std::string_view text, LineBreaks line_breaks) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const bool kept = line_breaks == LineBreaks::keep && (text[0] == '\n' || text[0] == '\t');
    if (!step.valid) {
      for (const char byte : text.substr(0, step.length))
        shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    } else if (!kept && (is_control(step.code_point) || is_rearranging(step.code_point))) {
      shown += spelled_out(step.code_point);
    } else {
      shown += text.substr(0, step.length);
    }
    text.remove_prefix(step.length);
  }
  return shown;
}

}  // namespace expertscope
