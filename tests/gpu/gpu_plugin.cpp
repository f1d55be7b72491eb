// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/loader/loader.h"
#include "tests/gpu/gpu.h"

namespace expertscope::testing {
namespace {

const Result<const cuda::Plugin*>& plugin() {
  static const Result<const cuda::Plugin*> loaded = cuda::load_plugin();
  return loaded;
}

}  // namespace

Result<DeviceInfo> find_gpu() {
  if (!plugin()) return forward_error(plugin());
  auto devices = cuda::list_devices(**plugin());
  if (!devices) return forward_error(devices);
  return std::move(devices->front());
}

Result<std::unique_ptr<Session>> open_gpu_session(std::shared_ptr<const Model> model,
                                                  const BackendOptions& options,
                                                  const OpenProgress& progress) {
  if (!plugin()) return forward_error(plugin());
  const BackendOptions resolved = Session::resolve_options(*model, on_first_gpu(options));
  auto backend = (*plugin())->make_backend(model, resolved, "asked for", progress, {});
  if (!backend) return forward_error(backend);
  return Session::create(std::move(model), resolved, std::move(*backend));
}

Result<std::int64_t> free_gpu_memory(const Model& model) {
  if (!plugin()) return forward_error(plugin());
  BackendOptions options = on_first_gpu({});
  options.max_context = 16;
  options.max_batch = 16;
  const auto plan = (*plugin())->plan_memory(model, options);
  if (!plan) return forward_error(plan);
  return plan->available;
}

Result<cuda::DeviceRates> measure_gpu_rates(const cuda::RateSizes& sizes) {
  if (!plugin()) return forward_error(plugin());
  if ((*plugin())->measure_rates == nullptr)
    return fail(ErrorCode::unsupported, "this CUDA backend does not measure the GPU");
  return (*plugin())->measure_rates(0, sizes);
}

Result<cuda::ExpertTimes> measure_gpu_experts(const cuda::ExpertCase& what) {
  if (!plugin()) return forward_error(plugin());
  if ((*plugin())->measure_experts == nullptr)
    return fail(ErrorCode::unsupported, "this CUDA backend does not measure the experts");
  return (*plugin())->measure_experts(0, what);
}

bool gpu_is_emulated() {
  return false;
}

}  // namespace expertscope::testing
