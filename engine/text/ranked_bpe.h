// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/token_model.h"

namespace expertscope {

/// BPE without a list of merges, as SentencePiece and tiktoken have it: of all neighbours that are a token
/// together, those of the lowest rank merge first, the leftmost of them.
class RankedBpe : public TokenModel {
 public:
  /// A word is made of bytes; each of the 256 is to have a token, else it becomes nothing.
  static RankedBpe of_bytes() { return RankedBpe(false); }
  /// A word is made of characters. Those without a token become the tokens <0x00> .. <0xFF> of their bytes
  /// or, where there are none, `unk_id`, once for neighbours.
  static RankedBpe of_characters(std::int32_t unk_id) {
    RankedBpe model(true);
    model.unk_id_ = unk_id;
    return model;
  }

  /// `content` is what vocabulary() has, `text` what the token stands for in a word. False where there is
  /// such a content or text already.
  bool add(std::string content, std::string text, std::int32_t id, std::int32_t rank);
  /// A token that no text becomes by itself.
  bool add_other(std::string content, std::int32_t id);
  void set_byte(std::uint8_t byte, std::int32_t id) { byte_ids_[byte] = id; }

  /// To be called once after the last add().
  void finish() {
    if (characters_) find_breaks();
  }

  void encode(std::string_view word, std::vector<std::int32_t>& ids,
              std::uint64_t* steps = nullptr) const override;

 private:
  struct Piece {
    std::int32_t id;
    std::int32_t rank;
  };
  struct Symbol;
  struct Candidate;
  explicit RankedBpe(bool characters) : characters_(characters) { byte_ids_.fill(-1); }
  std::vector<Symbol> symbols_of(std::string_view word) const;
  const Piece* find_piece(std::string_view text) const;
  static std::size_t mark_of(std::string_view text);
  void append_unknown(std::string_view text, bool& after_unknown, std::vector<std::int32_t>& ids) const;

  std::unordered_map<std::string, Piece, StringHash, std::equal_to<>> pieces_;  ///< by text
  std::size_t longest_ = 0;                                                     ///< text of a piece
  std::vector<bool> marks_ = std::vector<bool>(std::size_t{1} << 20);           ///< by mark_of(): one has it
  std::array<std::int32_t, 256> byte_ids_{};                                    ///< -1: no such token
  std::int32_t unk_id_ = -1;
  bool characters_;
};

}  // namespace expertscope
