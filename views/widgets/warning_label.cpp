// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/warning_label.h"

#include <QPainter>

#include "views/models/design.h"

namespace expertscope {

WarningLabel::WarningLabel(QWidget* parent) : QLabel(parent) {
  setTextFormat(Qt::PlainText);
  setContentsMargins(6, 1, 6, 1);
  hide();
}

void WarningLabel::set_warning(const QString& text, const QString& tooltip) {
  setText(text.isEmpty() ? QString() : QStringLiteral("⚠ ") + text);
  setToolTip(tooltip);
  setAccessibleName(text);
  setAccessibleDescription(tooltip);
  setVisible(!text.isEmpty());
}

void WarningLabel::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const DesignColours& colours = design_colours(palette());
  painter.setPen(colours.warning_edge);
  painter.setBrush(colours.warning_ground);
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3);
  painter.setPen(colours.warning);
  painter.drawText(contentsRect(), Qt::AlignVCenter | Qt::AlignLeft, text());
}

}  // namespace expertscope
