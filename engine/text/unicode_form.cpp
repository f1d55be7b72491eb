// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/unicode_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

/// The longest decomposition of one character (U+FDFA, NFKD).
constexpr std::size_t kMaxDecomposition = 18;

struct Form {
  int decompose;
  int compose;
};

Form options_of(UnicodeForm form) {
  const bool compose = form == UnicodeForm::nfc || form == UnicodeForm::nfkc;
  const bool compatible = form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
  const int common = UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0);
  return {common | UTF8PROC_DECOMPOSE, compose ? common | UTF8PROC_COMPOSE : 0};
}

std::uint8_t combining_class(utf8proc_int32_t c) {
  return static_cast<std::uint8_t>(utf8proc_get_property(c)->combining_class);
}

/// Sorts marks by combining class, those of one class in their order, in one pass: texts of strangers have
/// marks by the hundred thousand.
void sort_marks(CodePoints::iterator begin, CodePoints::iterator end, CodePoints& sorted) {
  std::array<std::size_t, 257> places{};
  for (auto it = begin; it != end; ++it)
    ++places[combining_class(*it) + 1u];
  for (std::size_t i = 1; i < places.size(); ++i)
    places[i] += places[i - 1];
  sorted.resize(static_cast<std::size_t>(end - begin));
  for (auto it = begin; it != end; ++it)
    sorted[places[combining_class(*it)]++] = *it;
  std::copy(sorted.begin(), sorted.end(), begin);
}

/// The canonical order of UAX 15, section 1.3: the marks after each starter by combining class.
std::uint64_t order_marks(CodePoints& text) {
  std::uint64_t moved = 0;
  CodePoints sorted;
  for (auto it = text.begin(); it != text.end();) {
    if (combining_class(*it) == 0) {
      ++it;
      continue;
    }
    const auto end = std::find_if(it, text.end(), [](auto c) { return combining_class(c) == 0; });
    const auto before = [](auto a, auto b) { return combining_class(a) < combining_class(b); };
    if (!std::is_sorted(it, end, before)) {
      sort_marks(it, end, sorted);
      moved += static_cast<std::uint64_t>(end - it);
    }
    it = end;
  }
  return moved;
}

/// Appends the form of a stretch of text that begins with a character nothing before it combines with.
Status append_form(std::string_view text, const Form& form, CodePoints& buffer, std::string& out,
                   std::uint64_t& steps) {
  buffer.clear();
  while (!text.empty()) {
    const auto step = utf8_step(text);
    const std::size_t size = buffer.size();
    buffer.resize(size + kMaxDecomposition);
    int ignored = 0;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.code_point), buffer.data() + size,
                                kMaxDecomposition, static_cast<utf8proc_option_t>(form.decompose), &ignored);
    if (count < 0) return fail(ErrorCode::format, "Unicode normalisation failed: {}", utf8proc_errmsg(count));
    buffer.resize(size + static_cast<std::size_t>(count));
    text.remove_prefix(step.length);
  }
  steps += buffer.size() + order_marks(buffer);
  auto count = static_cast<utf8proc_ssize_t>(buffer.size());
  if (form.compose != 0)
    count = utf8proc_normalize_utf32(buffer.data(), count, static_cast<utf8proc_option_t>(form.compose));
  if (count < 0) return fail(ErrorCode::format, "Unicode normalisation failed: {}", utf8proc_errmsg(count));
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    append_utf8(out, static_cast<char32_t>(buffer[i]));
  return {};
}

bool is_ascii(char c) {
  return (c & 0x80) == 0;
}

}  // namespace

Result<std::string> to_unicode_form(std::string_view text, UnicodeForm form, std::uint64_t* steps) {
  const Form options = options_of(form);
  std::uint64_t work = 0;
  std::string out;
  out.reserve(text.size());
  CodePoints buffer;
  while (!text.empty()) {
    // ASCII stays as it is, and combines with nothing before it; its last character may with what follows.
    const auto other = std::find_if_not(text.begin(), text.end(), is_ascii);
    auto plain = static_cast<std::size_t>(other - text.begin());
    if (other != text.end() && plain > 0) --plain;
    out.append(text, 0, plain);
    work += plain;
    text.remove_prefix(plain);
    if (text.empty()) break;
    const auto foreign = std::find_if_not(text.begin(), text.end(), is_ascii);
    const auto next = std::find_if(foreign, text.end(), is_ascii);
    const auto length = static_cast<std::size_t>(next - text.begin());
    if (auto ok = append_form(text.substr(0, length), options, buffer, out, work); !ok)
      return forward_error(ok);
    text.remove_prefix(length);
  }
  if (steps) *steps += work;
  return out;
}

std::string_view unicode_of_forms() {
  return utf8proc_unicode_version();
}

}  // namespace expertscope
