// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QColor>
#include <QRgb>

#include "probes/report/colour_scale.h"

namespace expertscope {

/// The colour-blind safe categorical palette of Okabe and Ito (2008); index 0 .. 6, repeats.
QColor category_colour(int index);

/// Black or white, whichever reads better on `background`.
QColor readable_on(QRgb background);

}  // namespace expertscope
