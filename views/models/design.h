// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QColor>
#include <QFont>
#include <QPalette>

namespace expertscope {

/// Colours that QPalette has no role for. Text on its ground has a contrast of 4.5 at least, a line or a mark
/// 3, in both themes.
struct DesignColours {
  QColor mark;     ///< super expert, threshold, flag of an edit
  QColor warning;  ///< text, on its ground
  QColor warning_ground;
  QColor warning_edge;
  QColor error;
  QColor good;
  QColor chart;   ///< line and bar
  QColor second;  ///< second series of a chart
  QColor unused;  ///< cell of an expert that never ran
  QColor unused_dot;
  QColor selection;  ///< ring of the selected cell
};

bool is_dark(const QPalette& palette);
const DesignColours& design_colours(const QPalette& palette);

/// Black or white, whichever can be read on `background`: a contrast of 4.5 at least.
QColor readable_on(QRgb background);

/// Pixels of secondary text: axes, headers, status.
inline constexpr int kSmallText = 11;
QFont small_font(const QFont& font);
/// Bold, `factor` times as large.
QFont heading_font(const QFont& font, double factor);

}  // namespace expertscope
