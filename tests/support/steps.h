// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>

namespace expertscope::testing {

/// Steps that `work` takes: basic blocks that ran in sources compiled with -fsanitize-coverage=trace-pc
/// (expertscope_counted_parsers, expertscope_text_counted) and in the templates they instantiate. The same on
/// every run and every machine of one compiler, unlike seconds.
std::uint64_t steps_of(const std::function<void()>& work);

/// Steps that `work` takes once it has taken `at` of them, when `then` is called: how soon it ends where that
/// tells it to stop.
std::uint64_t steps_after(std::uint64_t at, const std::function<void()>& then,
                          const std::function<void()>& work);

}  // namespace expertscope::testing
