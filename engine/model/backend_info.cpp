// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/backend_info.h"

#include <charconv>
#include <system_error>

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

}  // namespace expertscope
