// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/warning_label.h"

#include <QPainter>

namespace expertscope {

WarningColours warning_colours(const QPalette& palette) {
  const bool dark = palette.color(QPalette::Base).lightness() < 128;
  return dark ? WarningColours{QColor(0xf0c567), QColor(0x372c12), QColor(0x6b5520)}
              : WarningColours{QColor(0x734600), QColor(0xfff2d4), QColor(0xe0b65c)};
}

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
  const WarningColours colours = warning_colours(palette());
  painter.setPen(colours.edge);
  painter.setBrush(colours.ground);
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3);
  painter.setPen(colours.text);
  painter.drawText(contentsRect(), Qt::AlignVCenter | Qt::AlignLeft, text());
}

}  // namespace expertscope
