// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/sentencepiece_normalizer.h"

#include "engine/text/token_trie.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr std::string_view kSpace = "\u2581";
/// As for the normalisers of tokenizer.json.
constexpr std::size_t kMaxGrowth = 16;
constexpr std::size_t kMaxAddition = 256;

class SentencePieceNormalizer : public Normalizer {
 public:
  SentencePieceNormalizer(SentencePieceRules rules, std::string where)
      : rules_(std::move(rules)), where_(std::move(where)) {
    std::vector<TokenTrie::Entry> entries;
    for (const auto& piece : rules_.kept)
      entries.emplace_back(piece, static_cast<std::int32_t>(entries.size()));
    kept_ = TokenTrie(std::move(entries));
  }

  Result<std::string> apply(std::string text, RegexScratch&) const override {
    const std::size_t limit = text.size() * kMaxGrowth + kMaxAddition;
    std::string_view rest = text;
    while (rules_.remove_extra_spaces && !rest.empty()) {
      const auto step = next(rest);
      if (step.text != " ") break;
      rest.remove_prefix(step.length);
    }
    std::string out;
    if (rules_.dummy_prefix && !rest.empty()) out = kSpace;
    bool after_space = rules_.remove_extra_spaces;
    while (!rest.empty()) {
      auto [piece, length] = next(rest);
      rest.remove_prefix(length);
      while (after_space && piece.starts_with(' '))
        piece.remove_prefix(1);
      for (const char c : piece)
        out += c == ' ' ? kSpace : std::string_view(&c, 1);
      if (!piece.empty()) after_space = rules_.remove_extra_spaces && piece.ends_with(' ');
      if (out.size() > limit)
        return fail(ErrorCode::unsupported, "{}: a text of {} bytes grows to more than {}", where_,
                    text.size(), limit);
    }
    while (rules_.remove_extra_spaces && out.ends_with(kSpace))
      out.resize(out.size() - kSpace.size());
    return out;
  }

 private:
  /// What the first characters of a text become, and how many bytes they are.
  struct Step {
    std::string_view text;
    std::size_t length;
  };
  Step next(std::string_view text) const {
    std::size_t length = 0;
    kept_.find_prefixes(text, [&](std::size_t longest, std::int32_t) { length = longest; });
    if (length > 0) return {text.substr(0, length), length};
    if (rules_.charsmap)
      if (const auto found = rules_.charsmap->longest_prefix(text)) return {found->text, found->length};
    length = utf8_step(text).length;
    return {text.substr(0, length), length};
  }

  SentencePieceRules rules_;
  std::string where_;
  TokenTrie kept_;
};

}  // namespace

std::unique_ptr<const Normalizer> sentencepiece_normalizer(SentencePieceRules rules, std::string where) {
  return std::make_unique<SentencePieceNormalizer>(std::move(rules), std::move(where));
}

}  // namespace expertscope
