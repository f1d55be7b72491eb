// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/plugin.h"

#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/guarded.h"
#include "engine/cuda/runtime/device.h"

namespace expertscope::cuda {
namespace {

constexpr Plugin kPlugin = {kPluginBuild, kPluginLayout, guarded<&list_devices>, guarded<&make_cuda_backend>,
                            guarded<&plan_memory>};

}  // namespace
}  // namespace expertscope::cuda

extern "C" __attribute__((visibility("default"))) const expertscope::cuda::Plugin* expertscope_cuda_plugin() {
  return &expertscope::cuda::kPlugin;
}
