// SPDX-License-Identifier: GPL-3.0-or-later
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "engine/text/dataset.h"

namespace expertscope {

// Without memory OpenSSL looks into a library context that it could not make; so that is asked for first.
std::string sha256_hex(std::string_view bytes) {
  if (OPENSSL_init_crypto(0, nullptr) == 0 || OSSL_LIB_CTX_get0_global_default() == nullptr)
    throw std::bad_alloc();
  const std::unique_ptr<EVP_MD, void (*)(EVP_MD*)> sha(EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                       &EVP_MD_free);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const bool done =
      sha != nullptr && EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, sha.get(), nullptr) == 1;
  if (!done) throw std::bad_alloc();  // nothing else can go wrong with it
  std::string hex;
  for (unsigned int i = 0; i < size; ++i)
    hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace expertscope
