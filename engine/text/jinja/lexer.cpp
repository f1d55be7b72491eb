// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/text/utf8.h"

namespace expertscope::jinja {
namespace {

constexpr std::string_view kBlank = " \t\n\r\v\f";

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag();
      add_text(tag);
      at_ = tag;
      if (at_ >= source_.size()) break;
      Status ok = source_[at_ + 1] == '#' ? comment() : tag_content();
      if (!ok) return forward_error(ok);
    }
    tokens_.push_back({TokenKind::end, {}, line_});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  void advance(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      line_ += source_[at_ + i] == '\n' ? 1 : 0;
    at_ += count;
  }

  std::size_t next_tag() const {
    for (std::size_t i = at_; i + 1 < source_.size(); ++i)
      if (source_[i] == '{' && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
        return i;
    return source_.size();
  }

  /// The text before a tag, cut as the tags on both sides ask for.
  void add_text(std::size_t end) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    for (const char c : text)
      line_ += c == '\n' ? 1 : 0;
    if (strip_next_) {
      const auto first = text.find_first_not_of(kBlank);
      text.remove_prefix(first == std::string_view::npos ? text.size() : first);
    } else if (trim_newline_ && text.starts_with('\n')) {
      text.remove_prefix(1);
    }
    const bool at_tag = end < source_.size();
    const char sign = end + 2 < source_.size() ? source_[end + 2] : '\0';
    if (at_tag && sign == '-') {
      const auto last = text.find_last_not_of(kBlank);
      text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
    } else if (at_tag && source_[end + 1] != '{' && sign != '+') {
      strip_line_start(text);
    }
    if (!text.empty()) tokens_.push_back({TokenKind::text, std::string(text), line_});
  }

  /// lstrip_blocks: blanks between the start of a line and a block go away.
  void strip_line_start(std::string_view& text) const {
    const auto last = text.find_last_not_of(" \t");
    if (last == std::string_view::npos) {
      if (at_line_start_) text = {};
    } else if (text[last] == '\n') {
      text = text.substr(0, last + 1);
    }
  }

  Status comment() {
    const auto end = rest().find("#}");
    if (end == std::string_view::npos)
      return fail(ErrorCode::format, "line {}: a comment does not end", line_);
    const bool strip = end > 2 && rest()[end - 1] == '-';
    advance(end + 2);
    after_tag(strip, true);
    return {};
  }

  void after_tag(bool strip, bool block) {
    strip_next_ = strip;
    trim_newline_ = block;
    at_line_start_ = block && peek() == '\n';
  }

  Status tag_content() {
    const bool block = peek(1) == '%';
    tokens_.push_back({block ? TokenKind::block_begin : TokenKind::output_begin, {}, line_});
    advance(2);
    if (peek() == '-' || peek() == '+') advance(1);
    const std::string_view close = block ? "%}" : "}}";
    while (true) {
      while (at_ < source_.size() && kBlank.find(peek()) != std::string_view::npos)
        advance(1);
      if (at_ >= source_.size()) return fail(ErrorCode::format, "line {}: a tag does not end", line_);
      const bool signed_close =
          (peek() == '-' || (block && peek() == '+')) && rest().substr(1).starts_with(close);
      if (signed_close || (depth_ == 0 && rest().starts_with(close))) {
        const bool strip = peek() == '-';
        const bool keep = peek() == '+';
        advance(signed_close ? 3 : 2);
        tokens_.push_back({block ? TokenKind::block_end : TokenKind::output_end, {}, line_});
        after_tag(strip, block && !keep);
        return {};
      }
      if (Status ok = expression_token(); !ok) return ok;
    }
  }

  Status expression_token() {
    const char c = peek();
    if (c == '"' || c == '\'') return string_token(c);
    std::size_t length = 1;
    if (is_name_start(c)) {
      while (is_name_start(peek(length)) || is_digit(peek(length)))
        ++length;
      push(TokenKind::name, length);
    } else if (is_digit(c)) {
      number_token();
    } else {
      constexpr std::array<std::string_view, 5> kDouble = {"==", "!=", "<=", ">=", "//"};
      for (const auto symbol : kDouble)
        if (rest().starts_with(symbol)) length = 2;
      if (length == 1 && std::string_view("+-*/%~|.,:()[]{}=<>").find(c) == std::string_view::npos)
        return fail(ErrorCode::unsupported, "line {}: the character '{}' is not understood", line_, c);
      if (c == '{') ++depth_;
      if (c == '}' && depth_ > 0) --depth_;
      push(TokenKind::symbol, length);
    }
    return {};
  }

  void number_token() {
    std::size_t length = 1;
    const auto digits = [&] {
      while (is_digit(peek(length)))
        ++length;
    };
    digits();
    const std::size_t whole = length;
    if (peek(length) == '.' && is_digit(peek(length + 1))) {
      ++length;
      digits();
    }
    const std::size_t sign = peek(length + 1) == '+' || peek(length + 1) == '-' ? 1 : 0;
    if ((peek(length) == 'e' || peek(length) == 'E') && is_digit(peek(length + 1 + sign))) {
      length += 1 + sign;
      digits();
    }
    push(length == whole ? TokenKind::integer : TokenKind::real, length);
  }

  void push(TokenKind kind, std::size_t length) {
    tokens_.push_back({kind, std::string(rest().substr(0, length)), line_});
    advance(length);
  }

  Status string_token(char quote) {
    const int line = line_;
    std::string text;
    advance(1);
    while (at_ < source_.size() && peek() != quote) {
      if (peek() != '\\') {
        text += peek();
        advance(1);
        continue;
      }
      if (Status ok = escape(text); !ok) return ok;
    }
    if (at_ >= source_.size()) return fail(ErrorCode::format, "line {}: a string does not end", line);
    advance(1);
    tokens_.push_back({TokenKind::string, std::move(text), line});
    return {};
  }

  /// Python's escapes; one that it does not know stands for itself.
  Status escape(std::string& text) {
    constexpr std::string_view kNames = "ntr\\'\"abfv\n";
    constexpr std::string_view kValues = "\n\t\r\\'\"\a\b\f\v";
    const char c = peek(1);
    const auto index = kNames.find(c);
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const auto refused =
        fail(ErrorCode::unsupported, "line {}: an escape in a string is not understood", line_);
    if (at_ + 1 >= source_.size() || is_digit(c) || c == 'N') return refused;
    if (digits == 0) {
      if (index == std::string_view::npos) text += {'\\', c};
      if (index < kValues.size()) text += kValues[index];
      advance(2);
      return {};
    }
    std::uint32_t code = 0;
    const char* begin = source_.data() + std::min(at_ + 2, source_.size());
    const char* end = source_.data() + std::min(at_ + 2 + digits, source_.size());
    const auto read = std::from_chars(begin, end, code, 16);
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (read.ec != std::errc() || read.ptr != begin + digits || code > 0x10FFFF || surrogate) return refused;
    append_utf8(text, code);
    advance(2 + digits);
    return {};
  }

  std::string source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int line_ = 1;
  int depth_ = 0;              ///< open braces inside a tag
  bool strip_next_ = false;    ///< the last tag ended in "-"
  bool trim_newline_ = false;  ///< the last tag was a block: one newline after it goes away
  bool at_line_start_ = true;  ///< the last tag took its newline along, or there was no tag yet
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return Lexer(std::move(text)).run();
}

}  // namespace expertscope::jinja
