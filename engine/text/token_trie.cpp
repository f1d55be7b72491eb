// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/token_trie.h"

#include <algorithm>

namespace expertscope {

TokenTrie::TokenTrie(std::vector<Entry> tokens) {
  roots_.fill(-1);
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const Entry& a, const Entry& b) { return a.first < b.first; });
  std::vector<Range> open = {{0, tokens.size(), 0, -1}};
  while (!open.empty()) {
    const Range range = open.back();
    open.pop_back();
    add_children(tokens, range, open);
  }
}

void TokenTrie::add_children(const std::vector<Entry>& tokens, const Range& range,
                             std::vector<Range>& below) {
  std::size_t begin = range.begin;
  for (; begin < range.end && tokens[begin].first.size() == range.depth; ++begin)
    if (range.node >= 0) nodes_[static_cast<std::size_t>(range.node)].id = tokens[begin].second;
  const auto first = static_cast<std::int32_t>(nodes_.size());
  while (begin < range.end) {
    const char byte = tokens[begin].first[range.depth];
    std::size_t end = begin;
    while (end < range.end && tokens[end].first[range.depth] == byte)
      ++end;
    const auto node = static_cast<std::int32_t>(nodes_.size());
    nodes_.push_back({-1, 0, 0, static_cast<std::uint8_t>(byte)});
    if (range.node < 0) roots_[static_cast<std::uint8_t>(byte)] = node;
    below.push_back({begin, end, range.depth + 1, node});
    begin = end;
  }
  if (range.node < 0) return;
  auto& parent = nodes_[static_cast<std::size_t>(range.node)];
  parent.first = first;
  parent.children = static_cast<std::uint16_t>(nodes_.size() - static_cast<std::size_t>(first));
}

std::int32_t TokenTrie::child(std::int32_t node, std::uint8_t byte) const {
  if (node < 0) return roots_[byte];
  const Node& parent = nodes_[static_cast<std::size_t>(node)];
  const auto* begin = nodes_.data() + parent.first;
  const auto* end = begin + parent.children;
  const auto* it = std::lower_bound(begin, end, byte,
                                    [](const Node& one, std::uint8_t wanted) { return one.byte < wanted; });
  return it != end && it->byte == byte ? static_cast<std::int32_t>(it - nodes_.data()) : -1;
}

}  // namespace expertscope
