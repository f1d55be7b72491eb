// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/ranked_bpe.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "engine/text/utf8.h"

namespace expertscope {

/// A stretch of the word; merging makes it longer and takes the next one out of the list.
struct RankedBpe::Symbol {
  std::int32_t begin;
  std::int32_t end;
  std::int32_t previous;
  std::int32_t next;
  std::int32_t id = -1;  ///< once merged
};

/// Two neighbours that are a piece together; stale when one of them has changed since.
struct RankedBpe::Candidate {
  std::int32_t rank;
  std::int32_t left;
  std::int32_t middle;  ///< where the right one begins
  std::int32_t end;
  std::int32_t id;
  /// The lowest rank first, then the leftmost.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

bool RankedBpe::add(std::string content, std::string text, std::int32_t id, std::int32_t rank) {
  longest_ = std::max(longest_, text.size());
  if (!text.empty()) marks_[mark_of(text)] = true;
  return pieces_.emplace(std::move(text), Piece{id, rank}).second &&
         vocabulary_.emplace(std::move(content), id).second;
}

bool RankedBpe::add_other(std::string content, std::int32_t id) {
  return vocabulary_.emplace(std::move(content), id).second;
}

/// A number of 20 bits from both ends and the length: most pairs that are no piece have one that no piece
/// has, and need no look into the table.
std::size_t RankedBpe::mark_of(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<std::uint8_t>(text[i])); };
  const std::size_t last = text.size() - 1;
  const std::size_t ends =
      at(0) | at(last) << 8 | at(last / 2) << 16 | at(std::min<std::size_t>(1, last)) << 24;
  return ((ends ^ text.size() << 32) * 0x9E3779B97F4A7C15u) >> 44;
}

const RankedBpe::Piece* RankedBpe::find_piece(std::string_view text) const {
  // A longer text is no piece; looking it up would take time in proportion to it.
  if (text.size() > longest_ || text.empty() || !marks_[mark_of(text)]) return nullptr;
  const auto it = pieces_.find(text);
  return it == pieces_.end() ? nullptr : &it->second;
}

std::vector<RankedBpe::Symbol> RankedBpe::symbols_of(std::string_view word) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = characters_ ? utf8_step(word.substr(at)).length : 1;
    const auto index = static_cast<std::int32_t>(symbols.size());
    symbols.push_back(
        {static_cast<std::int32_t>(at), static_cast<std::int32_t>(at + length), index - 1, index + 1});
    at += length;
  }
  if (!symbols.empty()) symbols.back().next = -1;
  return symbols;
}

void RankedBpe::append_unknown(std::string_view text, bool& after_unknown,
                               std::vector<std::int32_t>& ids) const {
  const auto id = [&](char c) { return byte_ids_[static_cast<std::uint8_t>(c)]; };
  if (std::all_of(text.begin(), text.end(), [&](char c) { return id(c) >= 0; })) {
    for (const char c : text)
      ids.push_back(id(c));
    return;
  }
  if (!after_unknown && unk_id_ >= 0) ids.push_back(unk_id_);
  after_unknown = true;
}

void RankedBpe::encode(std::string_view word, std::vector<std::int32_t>& ids, std::uint64_t* steps) const {
  if (const Piece* whole = characters_ ? nullptr : find_piece(word)) return ids.push_back(whole->id);
  auto symbols = symbols_of(word);
  const auto at = [&](std::int32_t index) -> Symbol& { return symbols[static_cast<std::size_t>(index)]; };
  std::vector<Candidate> memory;
  memory.reserve(symbols.size());
  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(memory));
  std::uint64_t work = 0;
  const auto text = [&](std::int32_t begin, std::int32_t end) {
    return word.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  };
  const auto consider = [&](std::int32_t left) {
    ++work;
    if (left < 0 || at(left).next < 0) return;
    const Symbol& right = at(at(left).next);
    if (const Piece* piece = find_piece(text(at(left).begin, right.end)))
      queue.push({piece->rank, left, right.begin, right.end, piece->id});
  };
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i)
    consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = at(best.left);
    if (left.end != best.middle || left.next < 0 || at(left.next).end != best.end) continue;
    Symbol& right = at(left.next);
    left.end = right.end;
    left.id = best.id;
    right.end = right.begin;  // gone: no candidate fits it any more
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  bool after_unknown = false;
  for (std::int32_t i = symbols.empty() ? -1 : 0; i >= 0; i = at(i).next) {
    const auto part = text(at(i).begin, at(i).end);
    const Piece* piece = at(i).id < 0 ? find_piece(part) : nullptr;
    const std::int32_t id = piece != nullptr ? piece->id : at(i).id;
    if (id >= 0) {
      ids.push_back(id);
      after_unknown = false;
    } else {
      append_unknown(part, after_unknown, ids);
    }
  }
  if (steps) *steps += work;
}

}  // namespace expertscope
