// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

namespace expertscope {

/// Numbers are written, read and shown with a decimal point whatever the desktop's language is: a trace, a
/// report and a field of the window say the same everywhere. To be called after QApplication was made, which
/// takes over the locale of the environment, and before the first widget.
void use_plain_numbers();

}  // namespace expertscope
