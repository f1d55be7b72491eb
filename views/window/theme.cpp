// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/theme.h"

#include <QApplication>
#include <QPainter>
#include <QStyleOption>
#include <QToolTip>

namespace expertscope {
namespace {

struct Colours {
  QRgb window;
  QRgb base;
  QRgb alternate;
  QRgb button;
  QRgb text;
  QRgb secondary;
  QRgb disabled;
  QRgb highlight;
  QRgb link;
};

QPalette make_palette(const Colours& colours) {
  QPalette palette;
  const auto set = [&palette](QPalette::ColorRole role, QRgb colour) {
    palette.setColor(role, QColor::fromRgb(colour));
  };
  set(QPalette::Window, colours.window);
  set(QPalette::Base, colours.base);
  set(QPalette::AlternateBase, colours.alternate);
  set(QPalette::Button, colours.button);
  for (const QPalette::ColorRole role :
       {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::ToolTipText}) {
    set(role, colours.text);
    palette.setColor(QPalette::Disabled, role, QColor::fromRgb(colours.disabled));
  }
  set(QPalette::ToolTipBase, colours.alternate);
  set(QPalette::PlaceholderText, colours.secondary);
  set(QPalette::BrightText, qRgb(255, 255, 255));
  set(QPalette::Highlight, colours.highlight);
  set(QPalette::HighlightedText, qRgb(255, 255, 255));
  set(QPalette::Link, colours.link);
  set(QPalette::LinkVisited, colours.link);
  const QColor button = QColor::fromRgb(colours.button);
  palette.setColor(QPalette::Light, button.lighter(130));
  palette.setColor(QPalette::Midlight, button.lighter(115));
  palette.setColor(QPalette::Mid, button.darker(130));
  palette.setColor(QPalette::Dark, button.darker(160));
  palette.setColor(QPalette::Shadow, Qt::black);
  return palette;
}

}  // namespace

void FramedMenus::drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter,
                                const QWidget* widget) const {
  QProxyStyle::drawPrimitive(element, option, painter, widget);
  if (element != PE_PanelMenu || option == nullptr) return;
  painter->save();
  painter->setPen(option->palette.color(QPalette::PlaceholderText));
  painter->setBrush(Qt::NoBrush);
  painter->drawRect(option->rect.adjusted(0, 0, -1, -1));
  painter->restore();
}

QPalette dark_palette() {
  return make_palette({0xff303338, 0xff1b1d1f, 0xff25282b, 0xff3a3e43, 0xffe3e5e8, 0xffa6b0bd, 0xff8b9096,
                       0xff2f6fb0, 0xff6db3f2});
}

QPalette light_palette() {
  return make_palette({0xfff1f2f3, 0xffffffff, 0xfff5f6f8, 0xfff4f5f6, 0xff1d2126, 0xff535e6d, 0xff7d838a,
                       0xff1b67ae, 0xff1f5fa8});
}

void apply_theme(Theme theme) {
  const QPalette palette = theme == Theme::dark    ? dark_palette()
                           : theme == Theme::light ? light_palette()
                                                   : QPalette();
  QApplication::setPalette(palette);
  QToolTip::setPalette(theme == Theme::system ? QApplication::palette() : palette);
}

}  // namespace expertscope
