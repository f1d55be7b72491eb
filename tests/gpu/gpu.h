// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>

#include "engine/run/session.h"
#include "tests/gpu/rates/device_rates.h"
#include "tests/gpu/rates/expert_rates.h"

/// The GPU of a program in tests/gpu or tests/bench. Each is linked twice: with gpu_plugin.cpp, which loads
/// the plugin and needs a GPU, and with gpu_emulated.cpp, which runs anywhere and of which only the speed
/// means nothing.
namespace expertscope::testing {

/// The options of a session on the first device.
inline BackendOptions on_first_gpu(BackendOptions options) {
  options.choice = {BackendKind::cuda, 0};
  return options;
}

/// The first device; the error is what a person would be told.
Result<DeviceInfo> find_gpu();

/// A session on it. `options.choice` is set here.
Result<std::unique_ptr<Session>> open_gpu_session(std::shared_ptr<const Model> model,
                                                  const BackendOptions& options,
                                                  const OpenProgress& progress = {});

/// Bytes of its memory that are free.
Result<std::int64_t> free_gpu_memory(const Model& model);

Result<cuda::DeviceRates> measure_gpu_rates(const cuda::RateSizes& sizes);
Result<cuda::ExpertTimes> measure_gpu_experts(const cuda::ExpertCase& what);

/// Whether time means anything.
bool gpu_is_emulated();

}  // namespace expertscope::testing
