// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QPalette>
#include <QProxyStyle>

namespace expertscope {

enum class Theme : int { system, light, dark };

/// The style and the font of every widget, to be set before the first one is made.
void install_style();

/// Colours of every widget, also of those that are there; `system` is light or dark as the desktop is. Every
/// view paints from the palette.
void apply_theme(Theme theme);

QPalette dark_palette();
QPalette light_palette();

/// Fusion with the measures of this window: flat tabs with a line under the one in front, what is pressed in
/// the colours of a selection, one coloured button, menus with a frame that can be seen on dark ground.
class WorkbenchStyle final : public QProxyStyle {
 public:
  WorkbenchStyle();

  using QProxyStyle::polish;
  void polish(QWidget* widget) override;
  int pixelMetric(PixelMetric metric, const QStyleOption* option, const QWidget* widget) const override;
  QSize sizeFromContents(ContentsType type, const QStyleOption* option, const QSize& size,
                         const QWidget* widget) const override;
  void drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter,
                     const QWidget* widget) const override;
  void drawControl(ControlElement element, const QStyleOption* option, QPainter* painter,
                   const QWidget* widget) const override;
  void drawComplexControl(ComplexControl control, const QStyleOptionComplex* option, QPainter* painter,
                          const QWidget* widget) const override;

 private:
  void draw_tab(const QStyleOption& option, QPainter& painter) const;
  void draw_panel(const QStyleOption& option, QPainter& painter, bool main) const;
};

}  // namespace expertscope
