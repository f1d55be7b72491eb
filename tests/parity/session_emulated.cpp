// SPDX-License-Identifier: GPL-3.0-or-later
// The CUDA backend on the emulator of tests/simt.
#include "engine/cuda/cuda_backend.h"
#include "tests/parity/session.h"

namespace expertscope::parity {

Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model,
                                              const BackendOptions& options) {
  BackendOptions cuda = options;
  cuda.choice.kind = BackendKind::cuda;
  auto backend = cuda::make_cuda_backend(model, cuda, "emulated", {}, {});
  if (!backend) return forward_error(backend);
  return Session::create(std::move(model), cuda, std::move(*backend));
}

bool is_emulated() {
  return true;
}

}  // namespace expertscope::parity
