// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/plugin.h"

#include "engine/cuda/baseline/expert_rates.h"
#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/runtime/device.h"
#include "engine/cuda/runtime/rates.h"

namespace expertscope::cuda {
namespace {

constexpr Plugin kPlugin = {kPluginAbi,   &list_devices,  &make_cuda_backend,
                            &plan_memory, &measure_rates, &measure_experts};

}  // namespace
}  // namespace expertscope::cuda

extern "C" __attribute__((visibility("default"))) const expertscope::cuda::Plugin* expertscope_cuda_plugin() {
  return &expertscope::cuda::kPlugin;
}
