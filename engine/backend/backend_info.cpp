// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/backend_info.h"

#include <charconv>
#include <system_error>

#include "engine/backend/sizes.h"

namespace expertscope {

Result<BackendChoice> parse_backend_choice(std::string_view text) {
  if (text == "auto") return BackendChoice{};
  if (text == "cpu") return BackendChoice{BackendKind::cpu, 0};
  if (text == "cuda") return BackendChoice{BackendKind::cuda, 0};
  constexpr std::string_view kNumbered = "cuda:";
  if (text.substr(0, kNumbered.size()) == kNumbered) {
    const std::string_view number = text.substr(kNumbered.size());
    int device = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), device);
    const bool whole = parsed.ec == std::errc{} && parsed.ptr == number.data() + number.size();
    if (whole && device >= 0) return BackendChoice{BackendKind::cuda, device};
  }
  return fail(ErrorCode::invalid_argument,
              "there is no backend '{}'; possible are auto, cpu, cuda and cuda:N", text);
}

std::string to_string(const BackendChoice& choice) {
  switch (choice.kind) {
    case BackendKind::automatic:
      return "auto";
    case BackendKind::cpu:
      return "cpu";
    case BackendKind::cuda:
      return choice.device == 0 ? "cuda" : fmt::format("cuda:{}", choice.device);
  }
  return "auto";
}

std::string device_label(const DeviceInfo& device) {
  return fmt::format("cuda:{}{}{}", device.index, device.name.empty() ? "" : " ", device.name);
}

std::string join_reasons(const std::string& one, const std::string& other) {
  return one + (one.empty() || other.empty() ? "" : "; ") + other;
}

std::string describe(const MemoryPlan& plan, BackendKind kind) {
  const auto size = [](std::int64_t bytes) { return format_bytes(static_cast<std::size_t>(bytes)); };
  const bool cpu = kind == BackendKind::cpu;
  std::string text = fmt::format("{} of weights{}, {} of KV cache, {} of workspace", size(plan.weights),
                                 cpu ? " (mapped)" : "", size(plan.kv_cache), size(plan.workspace));
  if (plan.capture > 0) text += fmt::format(", {} of probes", size(plan.capture));
  if (plan.expert_cache > 0) {
    text += fmt::format(", {} for {} experts a layer at a time, the others in {} of host memory",
                        size(plan.expert_cache), plan.resident_experts, size(plan.host_weights));
  }
  if (plan.staging > 0) text += fmt::format(", {} of pinned host memory for transfers", size(plan.staging));
  if (!plan.available_known()) return text + "; how much is free is not known";
  const std::int64_t needed = cpu ? plan.kv_cache + plan.workspace : plan.device_total();
  const char* verdict = needed <= plan.available ? "fits" : "does not fit";
  return text + fmt::format("; {} free: {}", size(plan.available), verdict);
}

}  // namespace expertscope
