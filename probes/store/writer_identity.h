// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace expertscope {

/// Names this process so that another one can tell later whether it still runs, even after its pid was given
/// to someone else: "BOOT_ID/PID_NAMESPACE/PID/START_TIME".
std::string writer_identity();

enum class WriterState : std::uint8_t {
  alive,
  gone,     ///< the process ended, or the machine was started again
  unknown,  ///< it runs (or ran) in another pid namespace of this machine, a container for instance
};
WriterState writer_state(std::string_view identity);

}  // namespace expertscope
