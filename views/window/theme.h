// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QPalette>
#include <QProxyStyle>

namespace expertscope {

enum class Theme : int { system, light, dark };

/// Colours of every widget; `system` gives back what the desktop says. Every view paints from the palette.
void apply_theme(Theme theme);

/// The style of the desktop, but that menus have a frame that can be seen: Fusion's is the window's own
/// colour a little darker, which on a dark window is none.
class FramedMenus final : public QProxyStyle {
 public:
  using QProxyStyle::QProxyStyle;
  void drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter,
                     const QWidget* widget) const override;
};

/// A neutral dark palette with the same roles as Fusion's light one.
QPalette dark_palette();
QPalette light_palette();

}  // namespace expertscope
