// SPDX-License-Identifier: GPL-3.0-or-later
// The reference, which runs every spec.
#include "engine/cpu/reference_backend.h"
#include "tests/parity/session.h"

namespace expertscope::parity {

Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model,
                                              const BackendOptions& options) {
  BackendOptions cpu = options;
  cpu.choice.kind = BackendKind::cpu;
  auto backend = make_reference_backend(model, cpu);
  if (!backend) return forward_error(backend);
  return Session::create(std::move(model), cpu, std::move(*backend));
}

bool is_emulated() {
  return false;
}

bool is_reference() {
  return true;
}

}  // namespace expertscope::parity
