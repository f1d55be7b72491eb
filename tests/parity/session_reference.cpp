// SPDX-License-Identifier: GPL-3.0-or-later
// The reference, which runs every spec.
#include "tests/parity/session.h"

namespace expertscope::parity {

Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model,
                                              const BackendOptions& options) {
  BackendOptions plain = options;
  plain.choice.kind = BackendKind::cpu;
  plain.plain = true;
  return Session::create(std::move(model), plain);
}

bool is_emulated() {
  return false;
}

}  // namespace expertscope::parity
