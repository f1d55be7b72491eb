// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace expertscope {

/// SHA-256 of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();
  void update(std::string_view bytes);
  /// Lower-case hex of all that came; nothing may come after.
  std::string hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace expertscope
