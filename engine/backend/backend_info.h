// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

enum class BackendKind : std::uint8_t {
  automatic,  ///< the first GPU that can be used and takes the model, else the CPU
  cpu,
  cuda,
};

/// Where a person wants a model to run: "auto", "cpu", "cuda" or "cuda:1".
struct BackendChoice {
  BackendKind kind = BackendKind::automatic;
  int device = 0;  ///< cuda only: index among the devices CUDA_VISIBLE_DEVICES leaves

  bool operator==(const BackendChoice&) const = default;
};

/// The inverse of to_string. An unknown text is refused with the list of what is possible.
Result<BackendChoice> parse_backend_choice(std::string_view text);
std::string to_string(const BackendChoice& choice);

/// A GPU as its driver describes it; all empty for the CPU.
struct DeviceInfo {
  int index = 0;                   ///< among the visible ones
  std::string name;                ///< "NVIDIA H200"
  std::string uuid;                ///< "GPU-5e3f..."
  std::string compute_capability;  ///< "9.0"
  std::string driver;  ///< version of the driver and the newest CUDA it runs: "580.159.04, CUDA 13.0"
  std::int64_t memory_total = 0;  ///< bytes
  std::int64_t memory_free = 0;   ///< bytes, when it was asked
  std::string problem = {};       ///< why no model can run on it; empty: it can be tried
};

/// "cuda:1 NVIDIA H200"; the number alone where the driver gave no name.
std::string device_label(const DeviceInfo& device);

/// Where the bytes of a run go, computed before anything is loaded. The CPU backend fills what it has.
struct MemoryPlan {
  static constexpr std::int64_t kNotKnown = -1;

  std::int64_t weights = 0;  ///< bytes on the device: all weights but those of `expert_cache`
  std::int64_t expert_cache =
      0;  ///< bytes on the device for the experts that are resident at a time; 0: all are
  std::int64_t host_weights = 0;       ///< bytes of pinned host memory: the experts when they do not fit
  std::int64_t kv_cache = 0;           ///< bytes
  std::int64_t workspace = 0;          ///< bytes: activations, logits, tables
  std::int64_t capture = 0;            ///< bytes of the capture buffers, on the device
  std::int64_t staging = 0;            ///< bytes of pinned host memory for transfers
  std::int64_t available = kNotKnown;  ///< bytes that were free on the device
  int resident_experts = 0;            ///< experts a MoE layer keeps on the device; num_experts when all fit
  std::string plain_because = {};      ///< what keeps the fast path of the backend from running the model

  bool available_known() const { return available != kNotKnown; }
  std::int64_t device_total() const { return weights + expert_cache + kv_cache + workspace + capture; }
};

/// "61.1 GiB of weights, 402.0 MiB of KV cache, ...; 139.0 GiB free: fits". "fits" also for what is used in
/// parts: mapped weights, experts that stay with the host.
std::string describe(const MemoryPlan& plan, BackendKind kind);

/// Two reasons behind each other; either may be empty.
std::string join_reasons(const std::string& one, const std::string& other);

/// What runs a model and why, for `info`, the window and every trace.
struct BackendInfo {
  BackendKind kind = BackendKind::cpu;  ///< cpu or cuda
  std::string reason;  ///< why this one: "asked for", "no NVIDIA driver: libcuda.so.1 was not found", ...
  bool always_f32 = false;  ///< computes in f32 whatever BackendOptions::math says
  DeviceInfo device;
  MemoryPlan memory;
};

}  // namespace expertscope
