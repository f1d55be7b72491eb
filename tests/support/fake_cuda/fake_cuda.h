// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <map>
#include <optional>
#include <string>

namespace expertscope::testing {

/// Sets environment variables, of this process and those it starts, until the end of its scope.
class Environment {
 public:
  Environment() = default;
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  void set(const std::string& name, const std::string& value);
  void unset(const std::string& name);

 private:
  void remember(const std::string& name);
  std::map<std::string, std::optional<std::string>> before_;
};

/// The files of the fake machine.
struct FakeCuda {
  static std::string driver();         ///< libcuda.so.1
  static std::string driver_folder();  ///< for LD_LIBRARY_PATH
  static std::string plugin();
  static std::string plugin_of_another_build();
  static std::string plugin_of_another_layout();
  static std::string plugin_without_cublas();
};

/// A machine with GPUs for as long as it lives: for this process, and for programs it starts. `behaviour` is
/// words separated by blanks, read at every call into the plugin:
///   devices=N      N devices (1 when nothing is said)
///   old-driver     listing the devices fails
///   old-device=N   device N is too old for every model
///   refuses=N      device N has no kernels for the model
///   unsupported    it has no kernels for the model
///   plain          the tuned path lacks something that the model needs
///   out-of-memory  the model does not fit
///   one-model      a model does not fit beside another one
///   broken         the device fails while the weights are on their way
///   endless        the weights are on their way until told to stop
///   lost-after=N   the device is lost after N steps
///   full-after=N   the device has no memory left after N steps
///   lacks-after=N  the device lacks a kernel after N steps
/// The file that EXPERTSCOPE_FAKE_CUDA_MARK names is made when weights begin their way.
class FakeGpuMachine {
 public:
  explicit FakeGpuMachine(const std::string& behaviour = {});
  void behave(const std::string& behaviour);
  Environment& environment() { return environment_; }

 private:
  Environment environment_;
};

}  // namespace expertscope::testing
