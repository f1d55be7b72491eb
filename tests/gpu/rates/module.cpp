// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/module.h"

#include "engine/cuda/guarded.h"

namespace expertscope::cuda {
namespace {

constexpr RatesModule kModule = {guarded<&measure_rates>, guarded<&measure_experts>};

}  // namespace
}  // namespace expertscope::cuda

extern "C" __attribute__((visibility("default"))) const expertscope::cuda::RatesModule*
expertscope_cuda_rates() {
  return &expertscope::cuda::kModule;
}
