// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <string>

#include "engine/text/visible_text.h"

namespace expertscope {

/// Text of a file, a model or a person's note for a label: what hides or reverses other text is spelled out,
/// line breaks too unless they are kept.
inline QString visible(const std::string& text, LineBreaks line_breaks = LineBreaks::spell_out) {
  return QString::fromStdString(visible_text(text, line_breaks));
}
inline QString visible(const QString& text, LineBreaks line_breaks = LineBreaks::spell_out) {
  return visible(text.toStdString(), line_breaks);
}

/// The same for a tooltip: Qt guesses whether a tooltip is rich text, and a file may hold markup.
inline QString plain_tooltip(const QString& text) {
  return QStringLiteral("<span>%1</span>").arg(visible(text, LineBreaks::keep).toHtmlEscaped());
}

}  // namespace expertscope
