// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace expertscope {

/// Finds the tokens that a text begins with. Immutable once built.
class TokenTrie {
 public:
  using Entry = std::pair<std::string_view, std::int32_t>;

  TokenTrie() { roots_.fill(-1); }
  /// Tokens with their ids; of equal ones the last counts. Takes 12 bytes of memory for a byte of tokens at
  /// most.
  explicit TokenTrie(std::vector<Entry> tokens);

  /// Calls `found(length, id)` for every token that `text` begins with, the shortest first; returns how many
  /// bytes it looked at.
  template <class Found>
  std::size_t find_prefixes(std::string_view text, const Found& found) const {
    std::int32_t node = -1;
    for (std::size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<std::uint8_t>(text[i]));
      if (node < 0) return i + 1;
      if (nodes_[static_cast<std::size_t>(node)].id >= 0)
        found(i + 1, nodes_[static_cast<std::size_t>(node)].id);
    }
    return text.size();
  }

 private:
  /// Children stand side by side, in the order of their bytes.
  struct Node {
    std::int32_t id = -1;
    std::int32_t first = 0;
    std::uint16_t children = 0;
    std::uint8_t byte = 0;
  };
  /// Tokens that share their first bytes, in sorted order.
  struct Range {
    std::size_t begin;
    std::size_t end;
    std::size_t depth;
    std::int32_t node;
  };
  std::int32_t child(std::int32_t node, std::uint8_t byte) const;
  void add_children(const std::vector<Entry>& tokens, const Range& range, std::vector<Range>& below);

  std::array<std::int32_t, 256> roots_{};
  std::vector<Node> nodes_;
};

}  // namespace expertscope
