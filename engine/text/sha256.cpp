// SPDX-License-Identifier: GPL-3.0-or-later
#include <openssl/evp.h>

#include <array>
#include <string>
#include <string_view>

#include "engine/text/dataset.h"

namespace expertscope {

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i)
    hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace expertscope
