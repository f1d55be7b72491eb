// SPDX-License-Identifier: GPL-3.0-or-later
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text/regex.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "engine/text/regex_syntax.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxPattern = 65536;
/// Steps that the texts of one scratch may take before the pattern counts as hostile: usual patterns take two
/// or three a byte.
constexpr std::uint64_t kStepsPerByte = 100;
constexpr std::uint64_t kStepsPerScratch = 1'000'000;
/// PCRE2 goes back so many characters at every place, for a look-behind.
constexpr std::uint32_t kMaxLookBehind = 255;
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
  std::uint64_t steps = 0;
  std::uint64_t allowed = kStepsPerScratch;
  std::size_t place = 0;  ///< in the text, at the last callout
  bool ready() const { return data && context && stack; }

  /// The callout: the characters passed since the last one are steps, as is the callout itself.
  static int count(pcre2_callout_block* block, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    const std::size_t here = block->current_position;
    impl.steps += 1 + (here > impl.place ? here - impl.place : impl.place - here);
    impl.place = here;
    return impl.steps <= impl.allowed ? 0 : PCRE2_ERROR_CALLOUT;
  }
};

RegexScratch::RegexScratch()
    : impl_(new Impl{MatchData(pcre2_match_data_create(1, nullptr)),
                     MatchContext(pcre2_match_context_create(nullptr)),
                     JitStack(pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr))}) {
  if (!impl_->ready()) return;
  pcre2_set_heap_limit(impl_->context.get(), kHeapLimitKiB);
  pcre2_jit_stack_assign(impl_->context.get(), nullptr, impl_->stack.get());
  pcre2_set_callout(impl_->context.get(), &Impl::count, impl_.get());
}
RegexScratch::RegexScratch(RegexScratch&&) noexcept = default;
RegexScratch::~RegexScratch() = default;

std::uint64_t RegexScratch::steps() const {
  return impl_->steps;
}

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
  // ^ and $ of Oniguruma stand at every line, which ends with \n.
  constexpr std::uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;
  const std::string source = "(*LF)" + *translated;
  CodePointer code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(), kOptions, &error,
                                 &offset, nullptr));
  if (!code)
    return fail(ErrorCode::unsupported, "{}: the pattern cannot be used: {}", where, pcre_message(error));
  std::uint32_t look_behind = 0;
  pcre2_pattern_info(code.get(), PCRE2_INFO_MAXLOOKBEHIND, &look_behind);
  if (look_behind > kMaxLookBehind)
    return fail(ErrorCode::unsupported, "{}: a look-behind of {} characters, more than {}", where,
                look_behind, kMaxLookBehind);
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
    const bool special = std::string_view(R"(\^$.|?*+()[]{})").find(c) != std::string_view::npos;
    if (special) pattern += '\\';
    pattern += c;
  }
  return compile(pattern, where);
}

Status Regex::match_error(const RegexScratch& scratch, int code) const {
  if (code == PCRE2_ERROR_JIT_STACKLIMIT || code == PCRE2_ERROR_HEAPLIMIT)
    return fail(ErrorCode::unsupported,
                "{}: the pattern backtracks too much: it takes more memory than a pattern may have", where_);
  if (code != PCRE2_ERROR_CALLOUT && code != PCRE2_ERROR_MATCHLIMIT)
    return fail(ErrorCode::unsupported, "{}: matching the pattern failed: {}", where_, pcre_message(code));
  const std::uint64_t allowed = scratch.impl_->allowed;
  return fail(ErrorCode::unsupported,
              "{}: the pattern backtracks too much: more than {} steps for {} bytes of text", where_, allowed,
              (allowed - kStepsPerScratch) / kStepsPerByte);
}

Status Regex::for_each_match(std::string_view text, RegexScratch& scratch,
                             const std::function<void(std::size_t, std::size_t)>& found) const {
  auto& memory = *scratch.impl_;
  if (!memory.ready()) return fail(ErrorCode::out_of_memory, "{}: no memory to match a pattern", where_);
  memory.allowed += kStepsPerByte * text.size();
  // PCRE2 counts the places it comes back to as well, match by match; what it allows by itself is too little
  // for a long run of spaces.
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  pcre2_set_match_limit(memory.context.get(), static_cast<std::uint32_t>(std::min(memory.allowed, kMost)));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(memory.data.get());
  std::size_t from = 0;
  std::size_t last_end = std::string_view::npos;
  while (from <= text.size()) {
    memory.place = from;
    const int count = pcre2_match(code_->code.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                  memory.data.get(), memory.context.get());
    if (count == PCRE2_ERROR_NOMATCH) return {};
    if (count < 0) return match_error(scratch, count);
    const std::size_t begin = offsets[0];
    const std::size_t end = offsets[1];
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
