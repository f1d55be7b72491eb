// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/unigram.h"

#include <algorithm>

#include "engine/text/stopping.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

/// Every place of a text costs as many steps as a token may have bytes; SentencePiece has 64.
constexpr std::size_t kLongestToken = 512;
/// Of all tokens; the tree takes 12 bytes a byte.
constexpr std::size_t kMaxTokenBytes = 16u << 20;
constexpr double kUnknownPenalty = 10.0;
constexpr double kLargestScore = 1e30;

}  // namespace

/// The best way to the end of a part of the word.
struct UnigramModel::Node {
  double score = 0;
  std::size_t begin = std::string_view::npos;  ///< of its last token; npos: nothing ends here
  std::int32_t id = -1;                        ///< -1: a character without a token
};

Status UnigramModel::parse_token(const JsonFields& fields, const Json& item, std::size_t id) {
  const bool pair = item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_number();
  const double score = pair ? item[1].get<double>() : 0;
  if (!pair || !(score >= -kLargestScore && score <= kLargestScore))
    return fields.error(ErrorCode::format, "vocab",
                        fmt::format("entry {} is not a token with a score: {}", id, json_excerpt(item)));
  const auto& token = item[0].get_ref<const std::string&>();
  if (token.size() > kLongestToken)
    return fields.error(ErrorCode::unsupported, "vocab",
                        fmt::format("entry {} has {} bytes, more than {}", id, token.size(), kLongestToken));
  if (!add(token, score, true))
    return fields.error(ErrorCode::format, "vocab", fmt::format("{} is there twice", json_excerpt(item[0])));
  return {};
}

Status UnigramModel::parse_vocabulary(const JsonFields& fields, const std::stop_token& stop) {
  const auto list = fields.array("vocab");
  if (!list) return forward_error(list);
  if ((*list)->size() > kMaxTokens)
    return fields.error(ErrorCode::unsupported, "vocab",
                        fmt::format("{} tokens, more than {}", (*list)->size(), kMaxTokens));
  vocabulary_.reserve((*list)->size());
  std::size_t bytes = 0;
  for (const Json& item : **list) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    if (auto ok = parse_token(fields, item, scores_.size()); !ok) return ok;
    bytes += item[0].get_ref<const std::string&>().size();
    if (bytes > kMaxTokenBytes)
      return fields.error(ErrorCode::unsupported, "vocab",
                          fmt::format("more than {} bytes of tokens", kMaxTokenBytes));
  }
  return {};
}

bool UnigramModel::add(const std::string& token, double score, bool found) {
  if (!vocabulary_.emplace(token, static_cast<std::int32_t>(scores_.size())).second) return false;
  scores_.push_back(score);
  hidden_.push_back(!found || token.empty());
  return true;
}

void UnigramModel::finish() {
  std::vector<TokenTrie::Entry> entries;
  entries.reserve(vocabulary_.size());
  bool any = false;
  for (const auto& [token, id] : vocabulary_) {
    const auto index = static_cast<std::size_t>(id);
    if (hidden_[index]) continue;
    entries.emplace_back(token, id);
    lowest_score_ = any ? std::min(lowest_score_, scores_[index]) : scores_[index];
    any = true;
  }
  trie_ = TokenTrie(std::move(entries));
  for (unsigned byte = 0; byte < 256; ++byte)
    byte_ids_[byte] = find(fmt::format("<0x{:02X}>", byte));
}

Status UnigramModel::parse_unknown(const JsonFields& fields) {
  if (!fields.has("unk_id"))
    return fields.error(ErrorCode::unsupported, "unk_id", "a Unigram model without it is not supported");
  const auto unk = fields.integer("unk_id", 0, kMaxTokenId);
  if (!unk) return forward_error(unk);
  if (static_cast<std::size_t>(*unk) >= scores_.size())
    return fields.error(ErrorCode::format, "unk_id", fmt::format("{} is not in the vocabulary", *unk));
  unk_id_ = static_cast<std::int32_t>(*unk);
  return {};
}

Result<UnigramModel> UnigramModel::parse(const JsonFields& fields, const std::stop_token& stop) {
  const auto fallback = fields.boolean_or("byte_fallback", false);
  if (!fallback) return forward_error(fallback);
  UnigramModel model;
  model.byte_fallback_ = *fallback;
  Status ok = model.parse_vocabulary(fields, stop);
  if (ok) ok = model.parse_unknown(fields);
  if (!ok) return forward_error(ok);
  model.finish();
  return model;
}

/// Viterbi, forwards over the places between characters.
std::vector<UnigramModel::Node> UnigramModel::best_path(std::string_view word, std::uint64_t& steps) const {
  const auto rounded = [&](double score) { return single_precision_ ? static_cast<float>(score) : score; };
  const double unknown_score = rounded(lowest_score_ - kUnknownPenalty);
  std::vector<Node> best(word.size() + 1);
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t character = utf8_step(word.substr(at)).length;
    const double here = best[at].score;
    bool single = false;
    const auto offer = [&](std::size_t length, double score, std::int32_t id) {
      Node& node = best[at + length];
      const double sum = rounded(here + score);
      if (node.begin == std::string_view::npos || sum > node.score) node = {sum, at, id};
    };
    steps += trie_.find_prefixes(word.substr(at), [&](std::size_t length, std::int32_t id) {
      offer(length, scores_[static_cast<std::size_t>(id)], id);
      single = single || length == character;
    });
    if (!single) offer(character, unknown_score, -1);
    at += character;
  }
  return best;
}

void UnigramModel::append_unknown(std::string_view text, std::vector<std::int32_t>& ids) const {
  const auto id = [&](char c) { return byte_ids_[static_cast<std::uint8_t>(c)]; };
  if (const auto known = find(text); known >= 0) return ids.push_back(known);
  if (!byte_fallback_ || !std::all_of(text.begin(), text.end(), [&](char c) { return id(c) >= 0; }))
    return ids.push_back(unk_id_);
  for (const char c : text)
    ids.push_back(id(c));
}

void UnigramModel::encode(std::string_view word, std::vector<std::int32_t>& ids, std::uint64_t* steps) const {
  std::uint64_t work = 0;
  const auto best = best_path(word, work);
  if (steps) *steps += work;
  std::vector<std::size_t> ends;  // of the tokens, the last one first
  for (std::size_t end = word.size(); end > 0; end = best[end].begin)
    ends.push_back(end);
  std::size_t unknown = std::string_view::npos;  // where characters without a token began
  const auto is_unknown = [&](std::int32_t id) { return id < 0 || id == unk_id_; };
  for (auto it = ends.rbegin(); it != ends.rend(); ++it) {
    const Node& node = best[*it];
    if (is_unknown(node.id)) {
      unknown = std::min(unknown, node.begin);
      continue;
    }
    if (unknown != std::string_view::npos) append_unknown(word.substr(unknown, node.begin - unknown), ids);
    unknown = std::string_view::npos;
    ids.push_back(node.id);
  }
  if (unknown != std::string_view::npos) append_unknown(word.substr(unknown), ids);
}

}  // namespace expertscope
