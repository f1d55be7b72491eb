// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/loader/loader.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

namespace expertscope::cuda {
namespace {

/// Relative to the program: beside it, where it is installed, and in a build tree, whose programs are in app/
/// and whose tests lie deeper.
constexpr std::array kFolders = {".", "../lib/expertscope", "../engine/cuda", "../../engine/cuda",
                                 "../../../engine/cuda"};

#ifdef EXPERTSCOPE_HAS_CUDA
constexpr const char* kNoFile = "libexpertscope_cuda.so was not found beside the program";
#else
constexpr const char* kNoFile = "this build has no CUDA backend";
#endif

/// The value, or null where it is not set.
const char* environment(const char* name) {
  return std::getenv(name);
}

bool switched_off() {
  const char* value = environment("EXPERTSCOPE_CUDA");
  if (value == nullptr) return false;
  const std::string_view text = value;
  return text == "off" || text == "OFF" || text == "0";
}

std::string dl_message() {
  const char* message = dlerror();
  return message != nullptr ? message : "no reason given";
}

/// Anybody may write it; of a folder with the sticky bit, only the owner of a file may put another in its
/// place.
bool anybody_writes(const std::filesystem::path& file) {
  struct stat status = {};
  if (stat(file.c_str(), &status) != 0) return true;
  const bool sticky = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
  return (status.st_mode & S_IWOTH) != 0 && !sticky;
}

/// Code is loaded only from a file that belongs to whom the program belongs to, or to root, and that nobody
/// else can write or exchange: a folder above a program in /tmp may be anybody's. Empty: it can be trusted.
std::string distrust(const std::filesystem::path& file, const PluginPlaces& places) {
  const auto of_file = places.owner(file);
  if (!of_file || (*of_file != 0 && of_file != places.owner(places.program)))
    return "it belongs neither to root nor to the owner of the program";
  if (anybody_writes(file)) return "everybody may write it";
  if (anybody_writes(file.parent_path())) return "everybody may write its folder";
  return {};
}

Result<std::filesystem::path> find_plugin(const PluginPlaces& places) {
  if (!places.plugin.empty()) return places.plugin;
  std::string refused;
  std::error_code error;
  for (const char* folder : kFolders) {
    if (places.program.empty()) break;
    // What a link points to is asked about, and loaded: the link may be changed in between.
    const auto file = std::filesystem::canonical(places.program / folder / kPluginFile, error);
    if (error || !std::filesystem::is_regular_file(file, error)) continue;
    const std::string reason = distrust(file, places);
    if (reason.empty()) return file;
    if (refused.empty()) refused = fmt::format("{}: is not loaded, because {}", file.string(), reason);
  }
  return fail(ErrorCode::unsupported, "{}", refused.empty() ? kNoFile : refused);
}

/// Why the plugin cannot be loaded, from what dlopen() says; for cuBLAS, which is not part of the driver,
/// also where it comes from. "libcublas.so.13: cannot open shared object file: ..." is how the loader begins
/// then.
Error load_error(const std::string& message) {
  constexpr std::string_view kCublas = "libcublas";
  constexpr std::string_view kMissing = ": cannot open shared object file";
  const std::size_t end = message.find(kMissing);
  const std::size_t version = message.find(".so.");
  if (message.compare(0, kCublas.size(), kCublas) != 0 || end == std::string::npos || version > end)
    return {ErrorCode::unsupported, "the CUDA backend cannot be loaded: " + message};
  const std::string library = message.substr(0, end);
  const int major = std::atoi(library.c_str() + version + 4);
  // Since CUDA 13 the package no longer has the version in its name.
  const std::string package = major < 13 ? fmt::format("nvidia-cublas-cu{}", major) : "nvidia-cublas";
  return {ErrorCode::unsupported,
          fmt::format(
              "the CUDA backend cannot be loaded: {} was not found; it comes with the CUDA {} toolkit, or "
              "with 'pip install {}' and its folder in LD_LIBRARY_PATH",
              library, major, package)};
}

/// What dlopen() says is translated and names any library that is missing: not only the driver. One that it
/// looked for in its folders and did not find, it names as it was asked for; one that it found, with its
/// folder.
bool is_missing(const std::string& library, const std::string& message) {
  if (library.find('/') == std::string::npos) return message.starts_with(library + ":");
  std::error_code error;
  return !std::filesystem::exists(library, error);
}

Status open_driver(const std::string& driver) {
  if (dlopen(driver.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return {};
  const std::string message = dl_message();
  if (is_missing(driver, message))
    return fail(ErrorCode::unsupported, "no NVIDIA driver: {} was not found", driver);
  return fail(ErrorCode::unsupported, "the NVIDIA driver cannot be loaded: {}", message);
}

Result<const Plugin*> open_plugin(const std::filesystem::path& given) {
  std::error_code error;
  // dlopen() takes a name without a folder for one to look for elsewhere.
  const auto absolute = std::filesystem::absolute(given, error);
  const auto& file = error ? given : absolute;
  if (!std::filesystem::is_regular_file(file, error))
    return fail(ErrorCode::unsupported, "{}: there is no such file", file.string());
  // Never closed: backends, and the deleters of what they return, are code of the plugin.
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return tl::unexpected<Error>(load_error(dl_message()));
  void* symbol = dlsym(library, kPluginFunction);
  if (symbol == nullptr)
    return fail(ErrorCode::unsupported, "{}: is not a CUDA backend of expertscope", file.string());
  const auto* plugin = reinterpret_cast<const Plugin* (*)()>(symbol)();
  if (plugin == nullptr || plugin->build == nullptr || std::strcmp(plugin->build, kPluginBuild) != 0) {
    return fail(ErrorCode::unsupported, "{}: is of another build ({}, this program is {})", file.string(),
                plugin != nullptr && plugin->build != nullptr ? plugin->build : "unknown", kPluginBuild);
  }
  if (plugin->layout != kPluginLayout)
    return fail(ErrorCode::unsupported, "{}: is of another build of {}", file.string(), kPluginBuild);
  return plugin;
}

}  // namespace

std::optional<unsigned> file_owner(const std::filesystem::path& file) {
  struct stat status = {};
  if (stat(file.c_str(), &status) != 0) return std::nullopt;
  return status.st_uid;
}

PluginPlaces plugin_places() {
  PluginPlaces places;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) places.program = program.parent_path();
  if (const char* file = environment("EXPERTSCOPE_CUDA_PLUGIN"); file != nullptr) places.plugin = file;
  return places;
}

Result<const Plugin*> load_plugin(const PluginPlaces& places) {
  if (switched_off())
    return fail(ErrorCode::unsupported, "CUDA is switched off by EXPERTSCOPE_CUDA={}",
                environment("EXPERTSCOPE_CUDA"));
  if (auto ok = open_driver(places.driver); !ok) return forward_error(ok);
  const char* visible = environment("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == '\0')
    return fail(ErrorCode::unsupported, "CUDA_VISIBLE_DEVICES is empty");
  const auto file = find_plugin(places);
  if (!file) return forward_error(file);
  return open_plugin(*file);
}

bool expects_gpu(const PluginPlaces& places) {
  const char* visible = environment("CUDA_VISIBLE_DEVICES");
  if (switched_off() || (visible != nullptr && *visible == '\0')) return false;
  void* driver = dlopen(places.driver.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (driver != nullptr) dlclose(driver);  // load_plugin() keeps its own
  return driver != nullptr;
}

Result<std::vector<DeviceInfo>> list_devices(const Plugin& plugin) {
  auto devices = plugin.list_devices();
  if (!devices || !devices->empty()) return devices;
  const char* visible = environment("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr)
    return fail(ErrorCode::unsupported, "CUDA_VISIBLE_DEVICES={} leaves no device", visible);
  return fail(ErrorCode::unsupported, "the NVIDIA driver has no device");
}

}  // namespace expertscope::cuda
