// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/bpe.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "engine/text/stopping.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxMerges = 1u << 20;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

/// A merge is "left right" or ["left", "right"].
bool split_merge(const Json& item, std::string_view& left, std::string_view& right) {
  if (item.is_array()) {
    if (item.size() != 2 || !item[0].is_string() || !item[1].is_string()) return false;
    left = item[0].get_ref<const std::string&>();
    right = item[1].get_ref<const std::string&>();
    return true;
  }
  if (!item.is_string()) return false;
  const std::string_view text = item.get_ref<const std::string&>();
  const auto space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) return false;
  left = text.substr(0, space);
  right = text.substr(space + 1);
  return true;
}

}  // namespace

/// A node of the list of symbols that a word is made of; merging unlinks the right one.
struct BpeModel::Symbol {
  std::int32_t id;
  std::int32_t previous = -1;
  std::int32_t next = -1;
  bool alive = true;
};

/// Two neighbours that can merge; stale when one of them has changed since.
struct BpeModel::Candidate {
  std::int32_t rank;
  std::int32_t position;
  std::int32_t left_id;
  std::int32_t right_id;
  std::int32_t merged_id;
  /// The lowest rank first, then the leftmost.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

Status BpeModel::refuse_unsupported(const JsonFields& fields) const {
  const auto dropout = fields.number_or("dropout", 0.0, 0.0, 1.0);
  if (!dropout) return forward_error(dropout);
  if (*dropout != 0.0) return fields.error(ErrorCode::unsupported, "dropout", "not supported");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto text = fields.string_or(key, "");
    if (!text) return forward_error(text);
    if (!text->empty()) return fields.error(ErrorCode::unsupported, key, "not supported");
  }
  return {};
}

Status BpeModel::parse_vocabulary(const JsonFields& fields, const std::stop_token& stop) {
  const auto vocab = fields.object("vocab");
  if (!vocab) return forward_error(vocab);
  if (vocab->json().size() > kMaxTokens)
    return fields.error(ErrorCode::unsupported, "vocab",
                        fmt::format("{} tokens, more than {}", vocab->json().size(), kMaxTokens));
  vocabulary_.reserve(vocab->json().size());
  for (const auto& item : vocab->json().items()) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    const auto id = item.value().is_number_integer() ? item.value().get<std::int64_t>() : -1;
    if (id < 0 || id > kMaxTokenId) return forward_error(vocab->integer(item.key(), 0, kMaxTokenId));
    vocabulary_.emplace(item.key(), static_cast<std::int32_t>(id));
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string name;
    if (characters_) name = fmt::format("<0x{:02X}>", byte);
    if (!characters_) append_utf8(name, alphabet_.letter(static_cast<std::uint8_t>(byte)));
    byte_ids_[byte] = find(name);
  }
  return {};
}

Status BpeModel::parse_merge(const JsonFields& fields, const Json& item, std::int32_t rank) {
  std::string_view left;
  std::string_view right;
  if (!split_merge(item, left, right))
    return fields.error(ErrorCode::format, "merges",
                        fmt::format("entry {} is not a pair: {}", rank, json_excerpt(item)));
  const std::string joined = std::string(left) + std::string(right);
  std::array<std::int32_t, 3> ids{};
  std::size_t count = 0;
  for (const std::string_view token : {left, right, std::string_view(joined)}) {
    ids[count] = find(token);
    if (ids[count++] < 0)
      return fields.error(ErrorCode::format, "merges",
                          fmt::format("entry {} needs {}, which is not in the vocabulary", rank,
                                      json_excerpt(std::string(token))));
  }
  merges_.insert_or_assign(pair_key(ids[0], ids[1]), Merge{rank, ids[2]});
  return {};
}

Status BpeModel::parse_merges(const JsonFields& fields, const std::stop_token& stop) {
  const auto list = fields.array("merges");
  if (!list) return forward_error(list);
  if ((*list)->size() > kMaxMerges)
    return fields.error(ErrorCode::unsupported, "merges",
                        fmt::format("{} pairs, more than {}", (*list)->size(), kMaxMerges));
  merges_.reserve((*list)->size());
  std::int32_t rank = 0;
  for (const Json& item : **list) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    if (item.is_string() && item.get_ref<const std::string&>().starts_with("#version")) continue;
    if (auto ok = parse_merge(fields, item, rank++); !ok) return ok;
  }
  return {};
}

Result<BpeModel> BpeModel::parse(const JsonFields& root, std::string_view key, const std::stop_token& stop,
                                 bool characters) {
  const auto fields = root.object(key);
  if (!fields) return forward_error(fields);
  BpeModel model;
  if (auto ok = model.refuse_unsupported(*fields); !ok) return forward_error(ok);
  const auto ignore = fields->boolean_or("ignore_merges", false);
  if (!ignore) return forward_error(ignore);
  const auto fuse = fields->boolean_or("fuse_unk", false);
  if (!fuse) return forward_error(fuse);
  const auto fallback = fields->boolean_or("byte_fallback", false);
  if (!fallback) return forward_error(fallback);
  model.ignore_merges_ = *ignore;
  model.byte_fallback_ = *fallback;
  model.characters_ = characters || *fallback;
  model.fuse_unk_ = *fuse;
  Status ok = model.parse_vocabulary(*fields, stop);
  if (ok) ok = model.parse_merges(*fields, stop);
  if (!ok) return forward_error(ok);
  if (fields->has("unk_token")) {
    const auto unk = fields->string("unk_token");
    if (!unk) return forward_error(unk);
    model.unk_id_ = model.find(*unk);
    if (model.unk_id_ < 0)
      return fields->error(ErrorCode::format, "unk_token",
                           fmt::format("{} is not in the vocabulary", json_excerpt(*unk)));
  }
  if (model.characters_) model.find_breaks();
  return model;
}

const BpeModel::Merge* BpeModel::merge_of(std::int32_t left, std::int32_t right) const {
  const auto it = merges_.find(pair_key(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

/// The id of a word that is a token as it is, or -1.
std::int32_t BpeModel::whole_word(std::string_view word) const {
  if (characters_) return find(word);
  std::string letters;
  for (const char c : word)
    append_utf8(letters, alphabet_.letter(static_cast<std::uint8_t>(c)));
  return find(letters);
}

void BpeModel::append_symbols(std::string_view word, std::vector<Symbol>& symbols) const {
  if (characters_) append_characters(word, symbols);
  if (!characters_) append_bytes(word, symbols);
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = static_cast<std::int32_t>(i) - 1;
    symbols[i].next = static_cast<std::int32_t>(i) + 1;
  }
  if (!symbols.empty()) symbols.back().next = -1;
}

bool BpeModel::append_byte_tokens(std::string_view character, std::vector<Symbol>& symbols) const {
  const auto id = [&](char c) { return byte_ids_[static_cast<std::uint8_t>(c)]; };
  if (!byte_fallback_ || !std::all_of(character.begin(), character.end(), [&](char c) { return id(c) >= 0; }))
    return false;
  for (const char c : character)
    symbols.push_back({id(c)});
  return true;
}

void BpeModel::append_characters(std::string_view word, std::vector<Symbol>& symbols) const {
  bool unknown = false;  // an unk_token that is still to come
  const auto flush = [&] {
    if (unknown && unk_id_ >= 0) symbols.push_back({unk_id_});
    unknown = false;
  };
  while (!word.empty()) {
    const auto character = word.substr(0, utf8_step(word).length);
    word.remove_prefix(character.size());
    if (const auto id = find(character); id >= 0) {
      flush();
      symbols.push_back({id});
    } else if (!append_byte_tokens(character, symbols)) {  // those overtake an unk_token, as in tokenizers
      if (!fuse_unk_) flush();
      unknown = true;
    }
  }
  flush();
}

void BpeModel::append_bytes(std::string_view word, std::vector<Symbol>& symbols) const {
  bool after_unk = false;
  for (const char c : word) {
    const std::int32_t id = byte_ids_[static_cast<std::uint8_t>(c)];
    const bool known = id >= 0;
    const bool skip = !known && (unk_id_ < 0 || (after_unk && fuse_unk_));
    if (!skip) symbols.push_back({known ? id : unk_id_});
    after_unk = !known;
  }
}

void BpeModel::encode(std::string_view word, std::vector<std::int32_t>& ids, std::uint64_t* steps) const {
  if (ignore_merges_) {
    if (const auto id = whole_word(word); id >= 0) return ids.push_back(id);
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  append_symbols(word, symbols);
  const auto at = [&](std::int32_t index) -> Symbol& { return symbols[index]; };
  std::vector<Candidate> memory;
  memory.reserve(symbols.size());
  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(memory));
  std::uint64_t work = 0;
  const auto consider = [&](std::int32_t left) {
    ++work;
    if (left < 0 || at(left).next < 0) return;
    const std::int32_t right_id = at(at(left).next).id;
    if (const auto* merge = merge_of(at(left).id, right_id))
      queue.push({merge->rank, left, at(left).id, right_id, merge->id});
  };
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i)
    consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    auto& left = at(best.position);
    if (!left.alive || left.id != best.left_id || left.next < 0 || at(left.next).id != best.right_id)
      continue;
    auto& right = at(left.next);
    left.id = best.merged_id;
    right.alive = false;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = best.position;
    consider(left.previous);
    consider(best.position);
  }
  for (const auto& symbol : symbols)
    if (symbol.alive) ids.push_back(symbol.id);
  if (steps) *steps += work;
}

}  // namespace expertscope
