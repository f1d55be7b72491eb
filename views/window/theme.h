// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QPalette>

namespace expertscope {

enum class Theme : int { system, light, dark };

/// Colours of every widget; `system` gives back what the desktop says. Every view paints from the palette.
void apply_theme(Theme theme);

/// A neutral dark palette with the same roles as Fusion's light one.
QPalette dark_palette();
QPalette light_palette();

}  // namespace expertscope
