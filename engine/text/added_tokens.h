// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace expertscope {

/// A token that is found in the text as a whole, before BPE: one entry of "added_tokens" in tokenizer.json.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;  ///< only where no word character stands next to it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space after it along
  bool normalized = false;   ///< searched in the normalised text, as its normalised content
};

/// A stretch of text: an added token, or plain text (id -1).
struct TokenPiece {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::int32_t id = -1;
};

/// Finds added tokens in a text: at every place the longest (leftmost-longest, as tokenizers does).
class AddedTokenFinder {
 public:
  AddedTokenFinder();
  /// `content` is what is searched: the token's own content, or the normalised one. Empty content is ignored.
  void add(const AddedToken& token, std::string_view content);
  /// To be called once after the last add() and before find(); unfinished when told to stop.
  void link(const std::stop_token& stop = {});
  /// Cuts `text` into added tokens and what lies between. A token that lies in the white space that the one
  /// before it took along comes again, as in tokenizers. The work is proportional to the text, whatever the
  /// tokens; `steps`, where given, is increased by it: bytes looked at and links followed.
  std::vector<TokenPiece> find(std::string_view text, std::uint64_t* steps = nullptr) const;

 private:
  /// The tokens from their last byte to their first, as an automaton (Aho and Corasick 1975): read backwards,
  /// a text says at every place at once which token begins there.
  struct Node {
    std::int32_t child = -1;
    std::int32_t sibling = -1;
    std::int32_t shorter = -1;  ///< the longest other node that ends what was read; -1: none but the root
    std::int32_t token = -1;    ///< the longest token that ends what was read
    std::uint8_t byte = 0;
  };
  struct Match {
    std::size_t begin;
    std::int32_t token;
  };
  std::int32_t child(std::int32_t node, std::uint8_t byte) const;
  std::int32_t next(std::int32_t node, std::uint8_t byte, std::uint64_t& steps) const;
  /// The longest token at each place that has one, the last place first.
  std::vector<Match> longest_tokens(std::string_view text, std::uint64_t& steps) const;

  std::vector<AddedToken> tokens_;
  std::vector<std::size_t> lengths_;  ///< of what is searched, by token
  std::vector<Node> nodes_;
  std::array<std::int32_t, 256> roots_{};
};

}  // namespace expertscope
