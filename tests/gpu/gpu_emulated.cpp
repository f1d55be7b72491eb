// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/runtime/device.h"
#include "tests/gpu/gpu.h"

namespace expertscope::testing {
Result<DeviceInfo> find_gpu() {
  return cuda::describe_device(0);
}

Result<std::unique_ptr<Session>> open_gpu_session(std::shared_ptr<const Model> model,
                                                  const BackendOptions& options,
                                                  const OpenProgress& progress) {
  const BackendOptions resolved = Session::resolve_options(*model, on_first_gpu(options));
  auto backend = cuda::make_cuda_backend(model, resolved, "emulated", progress, {});
  if (!backend) return forward_error(backend);
  return Session::create(std::move(model), resolved, std::move(*backend));
}

Result<std::int64_t> free_gpu_memory(const Model& model) {
  BackendOptions options = on_first_gpu({});
  options.max_context = 16;
  options.max_batch = 16;
  const auto plan = cuda::plan_memory(model, options);
  if (!plan) return forward_error(plan);
  return plan->available;
}

Result<cuda::DeviceRates> measure_gpu_rates(const cuda::RateSizes& sizes) {
  return cuda::measure_rates(0, sizes);
}

Result<cuda::ExpertTimes> measure_gpu_experts(const cuda::ExpertCase& what) {
  return cuda::measure_experts(0, what);
}

bool gpu_is_emulated() {
  return true;
}

}  // namespace expertscope::testing
