// SPDX-License-Identifier: GPL-3.0-or-later
#include <dlfcn.h>

#include <filesystem>

#include "engine/cuda/loader/loader.h"
#include "tests/gpu/gpu.h"
#include "tests/gpu/rates/module.h"

namespace expertscope::testing {
namespace {

const Result<const cuda::Plugin*>& plugin() {
  static const Result<const cuda::Plugin*> loaded = cuda::load_plugin();
  return loaded;
}

/// Beside the program, as a bundle has it, or where a build tree has it.
Result<const cuda::RatesModule*> open_rates() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* folder : {".", "../gpu/rates"}) {
    const auto file = program / folder / "libexpertscope_cuda_rates.so";
    if (!std::filesystem::exists(file, error)) continue;
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return fail(ErrorCode::unsupported, "{}", dlerror());
    void* symbol = dlsym(library, "expertscope_cuda_rates");
    if (symbol == nullptr) return fail(ErrorCode::unsupported, "{}: measures nothing", file.string());
    return reinterpret_cast<decltype(&expertscope_cuda_rates)>(symbol)();
  }
  return fail(ErrorCode::unsupported, "libexpertscope_cuda_rates.so was not found beside the program");
}

const Result<const cuda::RatesModule*>& rates() {
  static const Result<const cuda::RatesModule*> opened = open_rates();
  return opened;
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
  if (!rates()) return forward_error(rates());
  return (*rates())->measure_rates(0, sizes);
}

Result<cuda::ExpertTimes> measure_gpu_experts(const cuda::ExpertCase& what) {
  if (!rates()) return forward_error(rates());
  return (*rates())->measure_experts(0, what);
}

bool gpu_is_emulated() {
  return false;
}

}  // namespace expertscope::testing
