// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace expertscope {

/// The 256 letters with which byte-level BPE writes bytes in tokenizer.json: printable Latin-1 characters
/// stand for themselves, the others for U+0100 and up (Radford et al. 2019, `bytes_to_unicode` in GPT-2's
/// encoder.py).
class ByteAlphabet {
 public:
  ByteAlphabet();
  char32_t letter(std::uint8_t byte) const { return letters_[byte]; }
  /// The bytes that a token's letters stand for; nullopt when a character is not one of the 256.
  std::optional<std::string> to_bytes(std::string_view token) const;

 private:
  std::array<char32_t, 256> letters_{};
  std::array<std::int16_t, 512> bytes_{};
};

}  // namespace expertscope
