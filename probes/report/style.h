// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

namespace expertscope::report {

/// The report's style sheet; light or dark as the reader's system asks.
extern const char* const kStyle;

}  // namespace expertscope::report
