// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/cuda/plugin.h"
#include "engine/error.h"

namespace expertscope::cuda {

/// User id of a file's or folder's owner; empty when it cannot be asked.
std::optional<unsigned> file_owner(const std::filesystem::path& file);

/// Where load_plugin() looks.
struct PluginPlaces {
  std::string driver = "libcuda.so.1";  ///< as dlopen() takes it
  std::filesystem::path program;        ///< folder of the executable; empty: not known
  std::filesystem::path plugin;         ///< this file and no other; empty: look beside the program
  std::function<std::optional<unsigned>(const std::filesystem::path&)> owner = file_owner;
};

/// The places of this process: the folder of /proc/self/exe, and EXPERTSCOPE_CUDA_PLUGIN.
PluginPlaces plugin_places();

/// Opens the plugin, for good. The driver is opened first, and without one the plugin is not touched. Each
/// failure is an ErrorCode::unsupported with its own message: EXPERTSCOPE_CUDA=off, no driver,
/// CUDA_VISIBLE_DEVICES hides all devices, a build without CUDA, no plugin file, one (behind all links) of
/// somebody else or that everybody may write, one that cannot be loaded (dlopen's text; of a missing cuBLAS,
/// where it comes from), one that is none, one of another build.
Result<const Plugin*> load_plugin(const PluginPlaces& places = plugin_places());

/// Whether somebody would expect a GPU to be used, and should be told when none is: load_plugin() found a
/// driver, and nobody has hidden the devices or switched CUDA off.
bool expects_gpu(const PluginPlaces& places = plugin_places());

/// The devices of the plugin; fails, with what to tell a person, when there are none.
Result<std::vector<DeviceInfo>> list_devices(const Plugin& plugin);

}  // namespace expertscope::cuda
