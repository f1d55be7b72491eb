// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>

#include "engine/run/session.h"

namespace expertscope::parity {

/// A session on the backend this binary tests. The sources of these tests know nothing of it: each binary
/// links one of session_*.cpp.
Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model,
                                              const BackendOptions& options);

/// Whether the backend is an emulated one: tests then run fewer and shorter sequences. What they leave out is
/// in tests/engine/cuda at sizes where it is quick.
bool is_emulated();

}  // namespace expertscope::parity
