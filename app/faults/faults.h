// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

namespace expertscope {

/// Closes what is being recorded, says `why` there, and returns soon.
using CloseRecordings = void (*)(const char* why) noexcept;

/// Makes the program end with a message, its recordings closed and exit code 1 where the system would kill
/// it:
/// - SIGBUS: a file that is mapped (weights, the index of a trace's log) was shortened by somebody else. The
///   message names it.
/// - std::terminate: an exception nobody could catch, as a rule of no memory inside a destructor.
/// A write beyond a limit for the size of files fails (EFBIG) instead of raising SIGXFSZ. Some memory is set
/// aside, and given back to those who clean up when there is none left. Once, first in main().
void install_fault_handling(CloseRecordings close_recordings) noexcept;

/// "error: MESSAGE" on standard error: takes no memory and no lock.
void write_error(const char* message) noexcept;

/// The file that is mapped at `address`, as /proc/self/maps has it; false: none. `path` is cut to `capacity`,
/// with a final zero. Safe in a signal handler.
bool mapped_file_at(std::uintptr_t address, char* path, std::size_t capacity) noexcept;

}  // namespace expertscope
