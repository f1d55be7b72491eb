// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/byte_alphabet.h"

#include "engine/text/utf8.h"

namespace expertscope {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const char32_t letter = printable ? byte : next++;
    letters_[byte] = letter;
    bytes_[letter] = static_cast<std::int16_t>(byte);
  }
}

std::optional<std::string> ByteAlphabet::to_bytes(std::string_view token) const {
  std::string bytes;
  while (!token.empty()) {
    const auto step = utf8_step(token);
    if (!step.valid || step.code_point >= bytes_.size() || bytes_[step.code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(bytes_[step.code_point]);
    token.remove_prefix(step.length);
  }
  return bytes;
}

}  // namespace expertscope
