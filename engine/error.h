// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace expertscope {

/// What kind of failure an Error describes, for callers that react differently to each.
enum class ErrorCode {
  io,                ///< a file could not be opened, read or written
  disk_full,         ///< the device that holds an output has no room left
  format,            ///< a file is damaged or is not what its name says
  unsupported,       ///< well-formed, but this program does not run it
  mismatch,          ///< two things that must agree do not (a shape, a vocabulary, a policy and a model)
  invalid_argument,  ///< the caller asked for something that makes no sense
  out_of_memory,     ///< an allocation would exceed what is there
  device,            ///< the GPU or its driver failed; the process can go on without it
  cancelled,         ///< the person asked to stop; not a fault
};

/// A failure a person can act on: the message names the file and the field.
struct Error {
  ErrorCode code;
  std::string message;
};

/// Every function that can fail returns one; exceptions never cross an interface of this project.
template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// `return fail(ErrorCode::format, "{}: header is truncated", path);`
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

/// Passes on the error of another result: `if (!r) return forward_error(r);`
template <class T>
[[nodiscard]] tl::unexpected<Error> forward_error(const Result<T>& result) {
  return tl::unexpected<Error>(result.error());
}

}  // namespace expertscope
