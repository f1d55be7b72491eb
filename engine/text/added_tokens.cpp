// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/added_tokens.h"

#include <algorithm>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word_character(utf8_step(text).code_point);
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word_character(utf8_step(text.substr(last_character(text))).code_point);
}

/// Where the white space at the end of `text` begins.
std::size_t trailing_space(std::string_view text) {
  while (!text.empty()) {
    const auto last = last_character(text);
    if (!is_white_space(utf8_step(text.substr(last)).code_point)) break;
    text = text.substr(0, last);
  }
  return text.size();
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
  for (const auto& [key, target] : nodes_[static_cast<std::size_t>(node)].children)
    if (key == byte) return target;
  return -1;
}

void AddedTokenFinder::add(const AddedToken& token, std::string_view content) {
  if (content.empty()) return;
  const auto make_node = [&] {
    nodes_.emplace_back();
    return static_cast<std::int32_t>(nodes_.size() - 1);
  };
  auto& root = roots_[static_cast<std::uint8_t>(content.front())];
  if (root < 0) root = make_node();
  std::int32_t node = root;
  for (const char c : content.substr(1)) {
    const auto byte = static_cast<std::uint8_t>(c);
    std::int32_t next = child(node, byte);
    if (next < 0) {
      next = make_node();
      nodes_[static_cast<std::size_t>(node)].children.emplace_back(byte, next);
    }
    node = next;
  }
  nodes_[static_cast<std::size_t>(node)].token = static_cast<std::int32_t>(tokens_.size());
  tokens_.push_back(token);
}

std::pair<std::int32_t, std::size_t> AddedTokenFinder::longest(std::string_view text) const {
  std::pair<std::int32_t, std::size_t> best{-1, 0};
  std::int32_t node = roots_[static_cast<std::uint8_t>(text.front())];
  for (std::size_t length = 1; node >= 0; ++length) {
    const auto token = nodes_[static_cast<std::size_t>(node)].token;
    if (token >= 0) best = {token, length};
    if (length == text.size()) break;
    node = child(node, static_cast<std::uint8_t>(text[length]));
  }
  return best;
}

std::vector<TokenPiece> AddedTokenFinder::find(std::string_view text) const {
  std::vector<TokenPiece> pieces;
  std::size_t done = 0;
  for (std::size_t at = 0; !tokens_.empty() && at < text.size();) {
    const auto [index, length] = longest(text.substr(at));
    if (index < 0) {
      ++at;
      continue;
    }
    const auto& token = tokens_[static_cast<std::size_t>(index)];
    std::size_t begin = at;
    std::size_t end = at + length;
    at = end;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    // Spaces that the token before has taken are gone.
    if (token.lstrip) begin = trailing_space(text.substr(0, begin));
    begin = std::max(begin, done);
    if (token.rstrip) end += leading_space(text.substr(end));
    if (end <= done) continue;
    if (done < begin) pieces.push_back({done, begin, -1});
    pieces.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({done, text.size(), -1});
  return pieces;
}

}  // namespace expertscope
