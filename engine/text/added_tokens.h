// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
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
  /// Cuts `text` into added tokens and what lies between.
  std::vector<TokenPiece> find(std::string_view text) const;

 private:
  struct Node {
    std::vector<std::pair<std::uint8_t, std::int32_t>> children;
    std::int32_t token = -1;
  };
  std::int32_t child(std::int32_t node, std::uint8_t byte) const;
  /// The longest token at the start of `text`: its index (or -1) and its length.
  std::pair<std::int32_t, std::size_t> longest(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<std::int32_t, 256> roots_{};
};

}  // namespace expertscope
