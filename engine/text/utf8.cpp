// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/utf8.h"

#include <utf8proc.h>

#include <cstdint>

#include "engine/text/unicode_additions.h"

namespace expertscope {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

/// Length of a character and the allowed range of its second byte, by its first byte.
struct Lead {
  std::size_t length;
  std::uint8_t low;
  std::uint8_t high;
};

Lead lead_of(std::uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

/// "Lu" and the like. Characters newer than utf8proc are looked up in the table of what is new.
std::string_view category_of(char32_t c) {
  const std::string_view known = utf8proc_category_string(static_cast<utf8proc_int32_t>(c));
  if (known != "Cn") return known;
  for (const auto& addition : unicode_additions())
    if (addition.set.size() == 2 && addition.set[0] != '-' && addition.first <= c && c <= addition.last)
      return addition.set;
  return known;
}

}  // namespace

Utf8Step utf8_step(std::string_view bytes) {
  if (bytes.empty()) return {};
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  const Lead lead = lead_of(at(0));
  if (lead.length == 0) return {kReplacement, 1, false, false};
  if (lead.length == 1) return {at(0), 1, true, false};
  char32_t code_point = at(0) & (0xFFu >> (lead.length + 1));
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {kReplacement, i, false, true};
    const std::uint8_t low = i == 1 ? lead.low : 0x80;
    const std::uint8_t high = i == 1 ? lead.high : 0xBF;
    if (at(i) < low || at(i) > high) return {kReplacement, i, false, false};
    code_point = (code_point << 6) | (at(i) & 0x3Fu);
  }
  return {code_point, lead.length, true, false};
}

std::size_t find_invalid_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    if (static_cast<std::uint8_t>(bytes[i]) < 0x80) {
      ++i;
      continue;
    }
    const auto step = utf8_step(bytes.substr(i));
    if (!step.valid) return i;
    i += step.length;
  }
  return std::string_view::npos;
}

std::string utf8_lossy(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    const auto step = utf8_step(bytes.substr(i));
    if (step.valid) text.append(bytes.substr(i, step.length));
    if (!step.valid) append_utf8(text, kReplacement);
    i += step.length;
  }
  return text;
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto c = static_cast<std::uint32_t>(code_point);
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::size_t last_character(std::string_view text) {
  if (text.empty()) return 0;
  std::size_t at = text.size() - 1;
  while (at > 0 && (static_cast<std::uint8_t>(text[at]) & 0xC0) == 0x80)
    --at;
  return at;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_word_character(char32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  // Other_Alphabetic beyond the marks: circled and squared letters, which are symbols by category.
  if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
      (c >= 0x1F170 && c <= 0x1F189))
    return true;
  const auto category = category_of(c);
  return category[0] == 'L' || category[0] == 'M' || category == "Nd" || category == "Nl" || category == "Pc";
}

bool is_punctuation(char32_t c) {
  const bool ascii =
      (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  return ascii || category_of(c)[0] == 'P';
}

bool is_mark(char32_t c) {
  return category_of(c)[0] == 'M';
}

bool is_printable(char32_t c) {
  const auto category = category_of(c);
  return c == ' ' || (category[0] != 'C' && category[0] != 'Z');
}

bool is_numeric(char32_t c) {
  return category_of(c)[0] == 'N';
}

}  // namespace expertscope
