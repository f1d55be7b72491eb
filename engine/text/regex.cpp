// SPDX-License-Identifier: GPL-3.0-or-later
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text/regex.h"

#include <pcre2.h>

#include <array>
#include <cstdint>

#include "engine/text/regex_syntax.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxPattern = 65536;
/// Backtracking steps and memory one match may take before the pattern counts as hostile.
constexpr std::uint32_t kMatchLimit = 5'000'000;
constexpr std::uint32_t kHeapLimitKiB = 64 * 1024;
constexpr std::size_t kJitStackStart = 32 * 1024;
constexpr std::size_t kJitStackMax = 16 * 1024 * 1024;

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using CodePointer = std::unique_ptr<pcre2_code, Freer<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>>;

}  // namespace

struct RegexScratch::Impl {
  MatchData data;
  MatchContext context;
  JitStack stack;
  bool ready() const { return data && context && stack; }
};

RegexScratch::RegexScratch()
    : impl_(new Impl{MatchData(pcre2_match_data_create(1, nullptr)),
                     MatchContext(pcre2_match_context_create(nullptr)),
                     JitStack(pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr))}) {
  if (!impl_->ready()) return;
  pcre2_set_match_limit(impl_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(impl_->context.get(), kHeapLimitKiB);
  pcre2_jit_stack_assign(impl_->context.get(), nullptr, impl_->stack.get());
}
RegexScratch::RegexScratch(RegexScratch&&) noexcept = default;
RegexScratch::~RegexScratch() = default;

struct Regex::Code {
  CodePointer code;
};

Result<Regex> Regex::compile(std::string_view pattern, const std::string& where) {
  if (pattern.size() > kMaxPattern)
    return fail(ErrorCode::unsupported, "{}: a pattern of {} bytes, longer than {}", where, pattern.size(),
                kMaxPattern);
  const auto translated = oniguruma_to_pcre(pattern, where);
  if (!translated) return forward_error(translated);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ stand at every line, hence MULTILINE. NEVER_BACKSLASH_C: it would cut characters.
  constexpr std::uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  CodePointer code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
                                 kOptions, &error, &offset, nullptr));
  if (!code)
    return fail(ErrorCode::unsupported, "{}: the pattern cannot be used: {}", where, pcre_message(error));
  // Without JIT (a hardened kernel may forbid it) the interpreter runs: slower, the same matches.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  Regex regex;
  regex.code_ = std::make_shared<const Code>(Code{std::move(code)});
  regex.where_ = where;
  return regex;
}

Result<Regex> Regex::literal(std::string_view text, const std::string& where) {
  std::string pattern;
  for (const char c : text) {
    const bool special = std::string_view(R"(\^$.|?*+()[]{}#-&~ )").find(c) != std::string_view::npos;
    if (special) pattern += '\\';
    pattern += c;
  }
  return compile(pattern, where);
}

Status Regex::for_each_match(std::string_view text, RegexScratch& scratch,
                             const std::function<void(std::size_t, std::size_t)>& found) const {
  const auto& memory = *scratch.impl_;
  if (!memory.ready()) return fail(ErrorCode::out_of_memory, "{}: no memory to match a pattern", where_);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(memory.data.get());
  std::size_t from = 0;
  std::size_t last_end = std::string_view::npos;
  while (from <= text.size()) {
    const int count = pcre2_match(code_->code.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                  memory.data.get(), memory.context.get());
    if (count == PCRE2_ERROR_NOMATCH) return {};
    if (count < 0)
      return fail(ErrorCode::unsupported, "{}: matching the pattern failed at byte {} of the text: {}",
                  where_, from, pcre_message(count));
    const std::size_t begin = offsets[0];
    const std::size_t end = offsets[1];
    if (end < begin || begin < from)
      return fail(ErrorCode::unsupported, "{}: the pattern moves the start of a match with \\K", where_);
    if (begin == end && end == last_end) {
      from += from < text.size() ? utf8_step(text.substr(from)).length : 1;
      continue;
    }
    found(begin, end);
    from = end;
    last_end = end;
  }
  return {};
}

}  // namespace expertscope
