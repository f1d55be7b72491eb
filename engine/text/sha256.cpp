// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/sha256.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <new>

#include "engine/text/dataset.h"

namespace expertscope {
namespace {

// Nothing but a lack of memory can go wrong with a digest.
void check(bool done) {
  if (!done) throw std::bad_alloc();
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

// Without memory OpenSSL looks into a library context that it could not make; so that is asked for first.
Sha256::Sha256() {
  check(OPENSSL_init_crypto(0, nullptr) != 0 && OSSL_LIB_CTX_get0_global_default() != nullptr);
  const std::unique_ptr<EVP_MD, void (*)(EVP_MD*)> sha(EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                       &EVP_MD_free);
  context_.reset(EVP_MD_CTX_new());
  check(sha != nullptr && context_ != nullptr && EVP_DigestInit_ex(context_.get(), sha.get(), nullptr) == 1);
}

void Sha256::update(std::string_view bytes) {
  check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i)
    hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.hex();
}

}  // namespace expertscope
