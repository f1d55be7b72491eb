// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/parity/session.h"

namespace expertscope::parity {

Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model,
                                              const BackendOptions& options) {
  BackendOptions cpu = options;
  cpu.choice.kind = BackendKind::cpu;
  return Session::create(std::move(model), cpu);
}

bool is_emulated() {
  return false;
}

}  // namespace expertscope::parity
