// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/fake_cuda/fake_cuda.h"

#include <dlfcn.h>

#include <cstdlib>

namespace expertscope::testing {

void Environment::remember(const std::string& name) {
  if (before_.count(name) != 0) return;
  const char* value = std::getenv(name.c_str());
  before_[name] = value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

void Environment::set(const std::string& name, const std::string& value) {
  remember(name);
  setenv(name.c_str(), value.c_str(), 1);
}

void Environment::unset(const std::string& name) {
  remember(name);
  unsetenv(name.c_str());
}

Environment::~Environment() {
  for (const auto& [name, value] : before_) {
    if (value) {
      setenv(name.c_str(), value->c_str(), 1);
    } else {
      unsetenv(name.c_str());
    }
  }
}

std::string FakeCuda::driver() {
  return FAKE_DRIVER;
}
std::string FakeCuda::driver_folder() {
  return FAKE_DRIVER_FOLDER;
}
std::string FakeCuda::plugin() {
  return FAKE_PLUGIN;
}
std::string FakeCuda::plugin_of_another_build() {
  return FAKE_PLUGIN_OF_ANOTHER_BUILD;
}
std::string FakeCuda::plugin_of_another_layout() {
  return FAKE_PLUGIN_OF_ANOTHER_LAYOUT;
}
std::string FakeCuda::plugin_without_cublas() {
  return FAKE_PLUGIN_WITHOUT_CUBLAS;
}

FakeGpuMachine::FakeGpuMachine(const std::string& behaviour) {
  // What is open already is found by its name: this process reads LD_LIBRARY_PATH only when it starts.
  dlopen(FAKE_DRIVER, RTLD_NOW);
  environment_.set("LD_LIBRARY_PATH", FakeCuda::driver_folder());
  environment_.set("EXPERTSCOPE_CUDA_PLUGIN", FakeCuda::plugin());
  for (const char* name : {"EXPERTSCOPE_BACKEND", "EXPERTSCOPE_CUDA", "CUDA_VISIBLE_DEVICES"}) {
    environment_.unset(name);
  }
  behave(behaviour);
}

void FakeGpuMachine::behave(const std::string& behaviour) {
  environment_.set("EXPERTSCOPE_FAKE_CUDA", behaviour);
}

}  // namespace expertscope::testing
