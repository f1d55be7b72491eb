// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace expertscope {

/// Names this thread so that anybody can tell later whether it still runs, even after its number was given to
/// another: "BOOT_ID/PID_NAMESPACE/PID/THREAD_ID/START_TIME". Of the thread and not of the process, because a
/// recording may end early (a full disk) and its program go on for days.
std::string writer_identity();

enum class WriterState : std::uint8_t {
  alive,
  gone,     ///< the thread ended, or the machine was started again
  unknown,  ///< it runs (or ran) in another pid namespace of this machine, a container for instance
};
WriterState writer_state(std::string_view identity);

}  // namespace expertscope
