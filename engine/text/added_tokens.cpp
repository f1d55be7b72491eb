// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/added_tokens.h"

#include <algorithm>
#include <iterator>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word_character(utf8_step(text).code_point);
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word_character(utf8_step(text.substr(last_character(text))).code_point);
}

/// Where the white space before `end` begins, but not before `floor`.
std::size_t space_before(std::string_view text, std::size_t end, std::size_t floor) {
  while (end > floor) {
    const auto last = last_character(text.substr(0, end));
    if (!is_white_space(utf8_step(text.substr(last)).code_point)) break;
    end = last;
  }
  return std::max(end, floor);
}

/// Length of the white space at the start of `text`.
std::size_t leading_space(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size()) {
    const auto step = utf8_step(text.substr(length));
    if (!is_white_space(step.code_point)) break;
    length += step.length;
  }
  return length;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder() {
  roots_.fill(-1);
}

std::int32_t AddedTokenFinder::child(std::int32_t node, std::uint8_t byte) const {
  if (node < 0) return roots_[byte];
  std::int32_t at = nodes_[node].child;
  while (at >= 0 && nodes_[at].byte != byte)
    at = nodes_[at].sibling;
  return at;
}

void AddedTokenFinder::add(const AddedToken& token, std::string_view content) {
  if (content.empty()) return;
  std::int32_t node = -1;
  for (auto it = content.rbegin(); it != content.rend(); ++it) {
    const auto byte = static_cast<std::uint8_t>(*it);
    std::int32_t next = child(node, byte);
    if (next < 0) {
      next = static_cast<std::int32_t>(nodes_.size());
      nodes_.push_back({-1, -1, -1, -1, byte});
      auto& first = node < 0 ? roots_[byte] : nodes_[node].child;
      nodes_.back().sibling = node < 0 ? -1 : first;
      first = next;
    }
    node = next;
  }
  nodes_[node].token = static_cast<std::int32_t>(tokens_.size());
  tokens_.push_back(token);
  lengths_.push_back(content.size());
}

std::int32_t AddedTokenFinder::next(std::int32_t node, std::uint8_t byte, std::uint64_t& steps) const {
  for (;; node = nodes_[node].shorter) {
    ++steps;
    const std::int32_t target = child(node, byte);
    if (target >= 0 || node < 0) return target;
  }
}

void AddedTokenFinder::link(const std::stop_token& stop) {
  std::vector<std::int32_t> queue;  // nodes in the order of their depth
  queue.reserve(nodes_.size());
  std::copy_if(roots_.begin(), roots_.end(), std::back_inserter(queue), [](auto root) { return root >= 0; });
  std::uint64_t ignored = 0;
  for (std::size_t i = 0; i < queue.size() && !stop.stop_requested(); ++i) {
    const Node& node = nodes_[queue[i]];
    for (std::int32_t at = node.child; at >= 0; at = nodes_[at].sibling) {
      auto& below = nodes_[at];
      below.shorter = next(node.shorter, below.byte, ignored);
      if (below.token < 0 && below.shorter >= 0) below.token = nodes_[below.shorter].token;
      queue.push_back(at);
    }
  }
}

std::vector<AddedTokenFinder::Match> AddedTokenFinder::longest_tokens(std::string_view text,
                                                                      std::uint64_t& steps) const {
  std::vector<Match> matches;
  if (tokens_.empty()) return matches;
  std::int32_t node = -1;
  for (std::size_t at = text.size(); at-- > 0;) {
    node = next(node, static_cast<std::uint8_t>(text[at]), steps);
    if (node < 0) continue;
    const auto token = nodes_[node].token;
    if (token >= 0) matches.push_back({at, token});
  }
  return matches;
}

std::vector<TokenPiece> AddedTokenFinder::find(std::string_view text, std::uint64_t* steps) const {
  std::vector<TokenPiece> pieces;
  std::uint64_t work = 0;
  std::size_t done = 0;
  std::size_t searched = 0;   // matches before it overlap one that has been taken
  std::size_t space_end = 0;  // of the white space looked at last
  const auto matches = longest_tokens(text, work);
  for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
    if (match->begin < searched) continue;
    const auto& token = tokens_[match->token];
    std::size_t begin = match->begin;
    std::size_t end = begin + lengths_[match->token];
    searched = end;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    if (token.lstrip) {
      // Spaces that the token before has taken are gone.
      begin = space_before(text, begin, done);
      work += match->begin - std::min(begin, match->begin);
    }
    if (token.rstrip && end < space_end) {
      end = space_end;
    } else if (token.rstrip) {
      space_end = end + leading_space(text.substr(end));
      work += space_end - end;
      end = space_end;
    }
    if (begin >= end) continue;
    if (done < begin) pieces.push_back({done, begin, -1});
    pieces.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({done, text.size(), -1});
  if (steps) *steps += work;
  return pieces;
}

}  // namespace expertscope
