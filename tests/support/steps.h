// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>

namespace expertscope::testing {

/// Steps that `work` takes: basic blocks that ran in sources compiled with -fsanitize-coverage=trace-pc
/// (expertscope_counted_parsers, expertscope_text_counted) and in the templates they instantiate. The same on
/// every run and every machine of one compiler, unlike seconds.
std::uint64_t steps_of(const std::function<void()>& work);

}  // namespace expertscope::testing
