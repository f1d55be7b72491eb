// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <exception>
#include <new>
#include <utility>

#include "engine/error.h"

/// Keeps exceptions of the standard library on this side of an interface.
namespace expertscope::cuda {

/// What `work` returns, a Result; what it throws as an Error.
template <class Work>
auto guard(Work&& work) -> decltype(work()) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "the CUDA backend found no memory on the host");
  } catch (const std::exception& error) {
    return fail(ErrorCode::device, "the CUDA backend failed: {}", error.what());
  } catch (...) {
    return fail(ErrorCode::device, "the CUDA backend failed");
  }
}

template <auto function>
struct Guarded;

template <class T, class... Parameters, Result<T> (*function)(Parameters...)>
struct Guarded<function> {
  static Result<T> call(Parameters... parameters) {
    return guard([&] { return function(std::forward<Parameters>(parameters)...); });
  }
};

/// A function with the parameters and the result of `function` that throws nothing.
template <auto function>
inline constexpr auto guarded = &Guarded<function>::call;

}  // namespace expertscope::cuda
