// SPDX-License-Identifier: GPL-3.0-or-later
// What filters and methods of strings share.
#include <locale.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "engine/text/jinja/functions.h"
#include "engine/text/jinja/operations.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/utf8.h"

namespace expertscope::jinja {
namespace {

/// utf8_step, quick for ASCII; `text` is not empty.
Utf8Step first_character(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text.front());
  return byte < 0x80 ? Utf8Step{byte, 1, true, false} : utf8_step(text);
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

Value change_case(std::string text, Case to, Environment& env) {
  bool begins = true;
  for (char& c : text) {
    if ((c & 0x80) != 0) return env.error("upper or lower case outside ASCII");
    const bool upper = to == Case::upper || (to != Case::lower && begins);
    begins = to == Case::title && !is_letter(c);
    if (is_letter(c)) c = static_cast<char>(upper ? c & ~0x20 : c | 0x20);
  }
  return text;
}

Value strip(std::string_view text, const std::optional<Value>& characters, Ends ends, Environment& env) {
  const std::string* given = text_argument(characters, "strip", env);
  if (env.failed()) return {};
  std::vector<char32_t> set;
  for (std::string_view rest = given != nullptr ? std::string_view(*given) : ""; !rest.empty();) {
    const auto step = first_character(rest);
    if (!env.charge(kMatchCost)) return {};
    set.push_back(step.code_point);
    rest.remove_prefix(step.length);
  }
  std::sort(set.begin(), set.end());
  const auto goes = [&](char32_t c) {
    return given != nullptr ? std::binary_search(set.begin(), set.end(), c) : is_python_space(c);
  };
  while (ends.left && !text.empty()) {
    const auto step = first_character(text);
    if (!goes(step.code_point)) break;
    text.remove_prefix(step.length);
  }
  while (ends.right && !text.empty()) {
    const auto last = last_character(text);
    if (!goes(first_character(text.substr(last)).code_point)) break;
    text = text.substr(0, last);
  }
  return std::string(text);
}

Value replace_text(std::string_view text, std::string_view from, std::string_view to, std::int64_t count,
                   Environment& env) {
  if (from.empty()) return env.error("replace() of an empty string");
  std::string out;
  for (; count != 0; --count) {
    const auto at = find_text(text, from);
    if (at == std::string_view::npos) break;
    if (out.size() + at + to.size() > kMaxString) return env.error("a string grows too long");
    if (!env.charge(kMatchCost + at + to.size())) return {};
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
  }
  return out += text;
}

Value join_texts(const List& parts, std::string_view separator, Environment& env) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += separator;
    out += printed(parts[i], env);
    if (out.size() > kMaxString) return env.error("a string grows too long");
    if (!env.charge(kMatchCost + separator.size())) return {};
  }
  return out;
}

Value pairs_of(const Fields& fields, Environment& env) {
  List pairs;
  for (const auto& [name, value] : fields) {
    if (!env.charge(kNewStringCost + name.size())) return {};
    pairs.emplace_back(List{name, value}, true);
  }
  return pairs;
}

Value strftime_now(PassedArguments arguments, Environment& env) {
  constexpr std::size_t kMaxFormat = 256;
  const auto bound =
      bind_arguments("strftime_now", std::array<std::string_view, 1>{"format"}, 1, std::move(arguments), env);
  if (env.failed()) return {};
  const std::string* format = bound[0]->string();
  if (format == nullptr || format->size() > kMaxFormat)
    return env.error("strftime_now() with a format that is no short text");
  static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
  std::array<char, 4 * kMaxFormat> text{};
  const std::size_t size = strftime_l(text.data(), text.size(), format->c_str(), &env.now(), plain);
  if (size == 0 && !format->empty()) return env.error("strftime_now() with a format of which nothing comes");
  return env.charged(std::string(text.data(), size));
}

}  // namespace expertscope::jinja
