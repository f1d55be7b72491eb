// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

namespace expertscope {

/// Text from a file for a tooltip: Qt guesses whether a tooltip is rich text, and a file may hold markup.
inline QString plain_tooltip(const QString& text) {
  return QStringLiteral("<span>%1</span>").arg(text.toHtmlEscaped());
}

}  // namespace expertscope
