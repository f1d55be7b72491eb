// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/visible_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0);  // C0, DEL and C1, where U+009B begins a command like ESC [
}

/// What stands between the letters of a word or the parts of an emoji, or chooses one of their looks. As such
/// they stay.
bool is_joiner(char32_t c) {
  return c == 0x200c || c == 0x200d;
}
bool is_selector(char32_t c) {
  return (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xe0100 && c <= 0xe01ef);
}

/// Whether a joiner or selector does its work behind `before`, the last character that was kept: one of them
/// at a time, and none inside ASCII but the emoji style of a digit.
bool joins(char32_t c, char32_t before) {
  if (is_joiner(c)) return before >= 0x80 && !is_joiner(before);
  if (!is_selector(c) || is_selector(before) || is_joiner(before)) return false;
  return before >= 0x80 || (c == 0xfe0f && before > 0x20);
}

std::string spelled_out(char32_t c) {
  if (c == U'\n') return "\\n";
  if (c == U'\t') return "\\t";
  if (c == U'\r') return "\\r";
  const auto code = static_cast<std::uint32_t>(c);
  if (code < 0x10000) return fmt::format("\\u{:04x}", code);
  // As JSON has it, so that JSON stays the same.
  return fmt::format("\\u{:04x}\\u{:04x}", 0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
}

}  // namespace

bool is_invisible(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  // Code points of Unicode's Default_Ignorable_Code_Point and Bidi_Control, and what is blank like a letter.
  static constexpr Range kRanges[] = {
      {0x00ad, 0x00ad},   {0x034f, 0x034f},  {0x061c, 0x061c}, {0x115f, 0x1160}, {0x17b4, 0x17b5},
      {0x180b, 0x180f},   {0x200b, 0x200f},  {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},
      {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},  {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3},
      {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

std::string visible_text(std::string_view text, LineBreaks line_breaks) {
  std::string shown;
  shown.reserve(text.size());
  // A piece of a longer text may begin in the middle of a word.
  char32_t before = line_breaks == LineBreaks::keep ? 0xfffd : 0;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const char32_t c = step.code_point;
    const bool kept = line_breaks == LineBreaks::keep && (text[0] == '\n' || text[0] == '\t');
    if (!step.valid) {
      for (const char byte : text.substr(0, step.length))
        shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      before = 0;
    } else if (!kept && (is_control(c) || (is_invisible(c) && !joins(c, before)))) {
      shown += spelled_out(c);
      before = 0;
    } else {
      shown += text.substr(0, step.length);
      before = c;
    }
    text.remove_prefix(step.length);
  }
  return shown;
}

}  // namespace expertscope
