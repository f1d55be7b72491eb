// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

namespace expertscope::simt {

/// Which of the threads that could run does, and which block comes next. A GPU promises none of these; a
/// kernel whose result depends on it has a race.
enum class Order { forward, reverse, random };

}  // namespace expertscope::simt
