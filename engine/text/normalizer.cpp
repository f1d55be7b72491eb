// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "engine/text/pattern.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

using Pointer = std::unique_ptr<const Normalizer>;

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(int options) : options_(options) {}
  Result<std::string> apply(std::string text) const override {
    const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
    if (ascii) return text;
    utf8proc_uint8_t* buffer = nullptr;
    const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &buffer,
                                   static_cast<utf8proc_option_t>(options_));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(buffer, &std::free);
    if (size < 0) return fail(ErrorCode::format, "Unicode normalisation failed: {}", utf8proc_errmsg(size));
    return std::string(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(size));
  }

 private:
  int options_;
};

class Lowercase : public Normalizer {
 public:
  Result<std::string> apply(std::string text) const override {
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

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  Result<std::string> apply(std::string text) const override { return text.empty() ? text : prefix_ + text; }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(Regex pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Result<std::string> apply(std::string text) const override {
    std::string out;
    std::size_t done = 0;
    RegexScratch scratch;
    const auto ok = pattern_.for_each_match(text, scratch, [&](std::size_t begin, std::size_t end) {
      out.append(text, done, begin - done);
      out += content_;
      done = end;
    });
    if (!ok) return forward_error(ok);
    out.append(text, done);
    return out;
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<Pointer> steps) : steps_(std::move(steps)) {}
  Result<std::string> apply(std::string text) const override {
    Result<std::string> result = std::move(text);
    for (const auto& step : steps_)
      if (result) result = step->apply(std::move(*result));
    return result;
  }

 private:
  std::vector<Pointer> steps_;
};

Result<Pointer> parse_one(const JsonFields& fields);

Result<Pointer> parse_sequence(const JsonFields& fields) {
  const auto list = fields.array("normalizers");
  if (!list) return forward_error(list);
  std::vector<Pointer> steps;
  for (const Json& item : **list) {
    const auto entry = JsonFields::of(item, fields.file(), fields.path_of("normalizers"));
    if (!entry) return forward_error(entry);
    auto step = parse_one(*entry);
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

Result<Pointer> parse_one(const JsonFields& fields) {
  struct Form {
    const char* name;
    int options;
  };
  constexpr std::array kForms = {Form{"NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
                                 Form{"NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
                                 Form{"NFKC", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
                                 Form{"NFKD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};
  const auto type = fields.string("type");
  if (!type) return forward_error(type);
  for (const auto& form : kForms)
    if (*type == form.name) return std::make_unique<UnicodeForm>(form.options);
  if (*type == "Lowercase") return std::make_unique<Lowercase>();
  if (*type == "Sequence") return parse_sequence(fields);
  if (*type == "Replace") return parse_replace(fields);
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
  if (!root.has(key)) return Pointer{};
  const auto fields = root.object(key);
  if (!fields) return forward_error(fields);
  return parse_one(*fields);
}

}  // namespace expertscope
