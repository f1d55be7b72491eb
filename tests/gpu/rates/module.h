// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/gpu/rates/device_rates.h"
#include "tests/gpu/rates/expert_rates.h"

namespace expertscope::cuda {

/// What libexpertscope_cuda_rates.so measures: the backend's own kernels are in it, beside those that it
/// holds them against. Nothing is checked when it is opened: it comes with the program that opens it.
struct RatesModule {
  Result<DeviceRates> (*measure_rates)(int device, const RateSizes& sizes);
  Result<ExpertTimes> (*measure_experts)(int device, const ExpertCase& what);
};

}  // namespace expertscope::cuda

/// The module's one exported symbol.
extern "C" const expertscope::cuda::RatesModule* expertscope_cuda_rates();
