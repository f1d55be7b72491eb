// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "engine/text/charsmap.h"
#include "engine/text/pattern.h"
#include "engine/text/unicode_form.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

/// The most that a text may grow: one character becomes 11 times as long under NFKC (U+FDFA), a byte 3 times
/// under the usual replacement of spaces; the constant is for what is put before every text. Without a limit,
/// 40 steps that double a text would fill the memory.
constexpr std::size_t kMaxGrowth = 16;
constexpr std::size_t kMaxAddition = 256;
/// Every step goes over the text once; models have up to five.
constexpr int kMaxSteps = 64;

/// How long a text may become, and how an error says so.
class Bound {
 public:
  Bound(std::size_t input, const std::string& where)
      : input_(input), limit_(input * kMaxGrowth + kMaxAddition), where_(where) {}
  bool allows(std::size_t bytes) const { return bytes <= limit_; }
  std::size_t bytes() const { return limit_; }
  tl::unexpected<Error> error() const {
    return fail(ErrorCode::unsupported, "{}: a text of {} bytes grows to more than {}", where_, input_,
                limit_);
  }

 private:
  std::size_t input_;
  std::size_t limit_;
  const std::string& where_;
};

/// One entry of the description.
class Step {
 public:
  virtual ~Step() = default;
  /// The result may be longer than allowed by a fixed factor or by a string of the description; who calls
  /// checks.
  virtual Result<std::string> apply(std::string text, const Bound& bound, RegexScratch& scratch) const = 0;
};
using Pointer = std::unique_ptr<const Step>;

class Unicode : public Step {
 public:
  explicit Unicode(UnicodeForm form) : form_(form) {}
  Result<std::string> apply(std::string text, const Bound&, RegexScratch&) const override {
    const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
    if (ascii) return text;  // stays as it is in every form: no second copy of a long text
    return to_unicode_form(text, form_);
  }

 private:
  UnicodeForm form_;
};

class Lowercase : public Step {
 public:
  Result<std::string> apply(std::string text, const Bound&, RegexScratch&) const override {
    constexpr char32_t kCapitalIWithDot = 0x130;  // the one character whose lower case is two
    std::string lower;
    for (std::string_view rest = text; !rest.empty();) {
      const auto step = utf8_step(rest);
      if (step.code_point == kCapitalIWithDot) {
        lower += "i\xCC\x87";
      } else {
        const auto c = utf8proc_tolower(static_cast<utf8proc_int32_t>(step.code_point));
        append_utf8(lower, static_cast<char32_t>(c));
      }
      rest.remove_prefix(step.length);
    }
    return lower;
  }
};

/// Goes through the characters: each becomes another one or, where it becomes 0, goes away.
class Characters : public Step {
 public:
  using Map = char32_t (*)(char32_t);
  explicit Characters(Map map) : map_(map) {}
  Result<std::string> apply(std::string text, const Bound&, RegexScratch&) const override {
    std::string out;
    for (std::string_view rest = text; !rest.empty();) {
      const auto step = utf8_step(rest);
      if (const char32_t c = map_(step.code_point); c != 0 || step.code_point == 0) append_utf8(out, c);
      rest.remove_prefix(step.length);
    }
    return out;
  }

 private:
  Map map_;
};

char32_t without_mark(char32_t c) {
  return is_mark(c) ? 0 : c;
}

/// "Nmt" of tokenizers, from SentencePiece: control characters go away, spaces of all kinds become one kind.
char32_t nmt(char32_t c) {
  const bool control = (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
                       c == 0x8F || c == 0x9F;
  const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                     (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
  return control ? 0 : space ? ' ' : c;
}

class Strip : public Step {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  Result<std::string> apply(std::string text, const Bound&, RegexScratch&) const override {
    std::string_view rest = text;
    while (left_ && !rest.empty() && is_white_space(utf8_step(rest).code_point))
      rest.remove_prefix(utf8_step(rest).length);
    while (right_ && !rest.empty()) {
      const auto last = last_character(rest);
      if (!is_white_space(utf8_step(rest.substr(last)).code_point)) break;
      rest = rest.substr(0, last);
    }
    return std::string(rest);
  }

 private:
  bool left_;
  bool right_;
};

class Precompiled : public Step {
 public:
  explicit Precompiled(Charsmap map) : map_(std::move(map)) {}
  Result<std::string> apply(std::string text, const Bound& bound, RegexScratch&) const override {
    auto replaced = map_.apply(text, bound.bytes());
    if (!replaced) return bound.error();
    return std::move(*replaced);
  }

 private:
  Charsmap map_;
};

class Prepend : public Step {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  Result<std::string> apply(std::string text, const Bound&, RegexScratch&) const override {
    return text.empty() ? text : prefix_ + text;
  }

 private:
  std::string prefix_;
};

class Replace : public Step {
 public:
  Replace(Regex pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Result<std::string> apply(std::string text, const Bound& bound, RegexScratch& scratch) const override {
    std::string out;
    std::size_t done = 0;
    bool fits = true;
    const auto ok = pattern_.for_each_match(text, scratch, [&](std::size_t begin, std::size_t end) {
      fits = fits && bound.allows(out.size() + (begin - done) + content_.size());
      if (!fits) return;
      out.append(text, done, begin - done);
      out += content_;
      done = end;
    });
    if (!ok) return forward_error(ok);
    if (!fits) return bound.error();
    out.append(text, done);
    return out;
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Sequence : public Step {
 public:
  explicit Sequence(std::vector<Pointer> steps) : steps_(std::move(steps)) {}
  Result<std::string> apply(std::string text, const Bound& bound, RegexScratch& scratch) const override {
    for (const auto& step : steps_) {
      auto next = step->apply(std::move(text), bound, scratch);
      if (!next) return next;
      if (!bound.allows(next->size())) return bound.error();
      text = std::move(*next);
    }
    return text;
  }

 private:
  std::vector<Pointer> steps_;
};

class BoundedNormalizer : public Normalizer {
 public:
  BoundedNormalizer(Pointer step, std::string where) : step_(std::move(step)), where_(std::move(where)) {}
  Result<std::string> apply(std::string text, RegexScratch& scratch) const override {
    const Bound bound(text.size(), where_);
    auto result = step_->apply(std::move(text), bound, scratch);
    if (result && !bound.allows(result->size())) return bound.error();
    return result;
  }

 private:
  Pointer step_;
  std::string where_;
};

Result<Pointer> parse_one(const JsonFields& fields, int& steps);

Result<Pointer> parse_sequence(const JsonFields& fields, int& count) {
  const auto list = fields.array("normalizers");
  if (!list) return forward_error(list);
  std::vector<Pointer> steps;
  for (const Json& item : **list) {
    const auto entry = JsonFields::of(item, fields.file(), fields.path_of("normalizers"));
    if (!entry) return forward_error(entry);
    auto step = parse_one(*entry, count);
    if (!step) return forward_error(step);
    steps.push_back(std::move(*step));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

Result<Pointer> parse_replace(const JsonFields& fields) {
  auto pattern = parse_pattern(fields, "pattern");
  if (!pattern) return forward_error(pattern);
  auto content = fields.string("content");
  if (!content) return forward_error(content);
  return std::make_unique<Replace>(std::move(*pattern), std::move(*content));
}

Result<Pointer> parse_strip(const JsonFields& fields) {
  const auto left = fields.boolean_or("strip_left", true);
  if (!left) return forward_error(left);
  const auto right = fields.boolean_or("strip_right", true);
  if (!right) return forward_error(right);
  return std::make_unique<Strip>(*left, *right);
}

Result<Pointer> parse_precompiled(const JsonFields& fields) {
  const auto text = fields.string("precompiled_charsmap");
  if (!text) return forward_error(text);
  const auto bytes = decode_base64(*text);
  if (!bytes) return fields.error(ErrorCode::format, "precompiled_charsmap", "not base64");
  auto map =
      Charsmap::parse(*bytes, fmt::format("{}: {}", fields.file(), fields.path_of("precompiled_charsmap")));
  if (!map) return forward_error(map);
  return std::make_unique<Precompiled>(std::move(*map));
}

Result<Pointer> parse_one(const JsonFields& fields, int& steps) {
  struct Form {
    const char* name;
    UnicodeForm form;
  };
  constexpr std::array kForms = {Form{"NFC", UnicodeForm::nfc}, Form{"NFD", UnicodeForm::nfd},
                                 Form{"NFKC", UnicodeForm::nfkc}, Form{"NFKD", UnicodeForm::nfkd}};
  const auto type = fields.string("type");
  if (!type) return forward_error(type);
  if (++steps > kMaxSteps)
    return fields.error(ErrorCode::unsupported, "type", fmt::format("more than {} normalizers", kMaxSteps));
  for (const auto& form : kForms)
    if (*type == form.name) return std::make_unique<Unicode>(form.form);
  if (*type == "Lowercase") return std::make_unique<Lowercase>();
  if (*type == "Sequence") return parse_sequence(fields, steps);
  if (*type == "Replace") return parse_replace(fields);
  if (*type == "Strip") return parse_strip(fields);
  if (*type == "Precompiled") return parse_precompiled(fields);
  if (*type == "StripAccents") return std::make_unique<Characters>(without_mark);
  if (*type == "Nmt") return std::make_unique<Characters>(nmt);
  if (*type == "Prepend") {
    auto prefix = fields.string("prepend");
    if (!prefix) return forward_error(prefix);
    return std::make_unique<Prepend>(std::move(*prefix));
  }
  return fields.error(ErrorCode::unsupported, "type",
                      fmt::format("the normalizer \"{}\" is not supported", *type));
}

}  // namespace

Result<std::unique_ptr<const Normalizer>> Normalizer::parse(const JsonFields& root, std::string_view key) {
  if (!root.has(key)) return std::unique_ptr<const Normalizer>{};
  const auto fields = root.object(key);
  if (!fields) return forward_error(fields);
  int steps = 0;
  auto step = parse_one(*fields, steps);
  if (!step) return forward_error(step);
  return std::make_unique<BoundedNormalizer>(std::move(*step),
                                             fmt::format("{}: {}", root.file(), root.path_of(key)));
}

}  // namespace expertscope
