// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/theme.h"

#include <QApplication>
#include <QFontInfo>
#include <QPainter>
#include <QStyleOption>
#include <QTabBar>
#include <QToolTip>
#include <algorithm>

#include "views/models/design.h"

namespace expertscope {
namespace {

// Pixels.
constexpr int kText = 12;
constexpr int kControl = 24;
constexpr int kTab = 28;
constexpr int kRow = 20;
constexpr int kSeparator = 3;  // between panels: wide enough to be dragged
constexpr int kLineUnderTab = 2;
constexpr double kRadius = 3;

struct Colours {
  QRgb window;
  QRgb base;
  QRgb alternate;
  QRgb bar;
  QRgb text;
  QRgb secondary;
  QRgb disabled;
  QRgb selection;
  QRgb selected_text;
  QRgb link;
  QRgb line;
  QRgb hair;
  QRgb outline;
};

QPalette make_palette(const Colours& colours) {
  QPalette palette;
  const auto set = [&palette](QPalette::ColorRole role, QRgb colour) {
    palette.setColor(role, QColor::fromRgb(colour));
  };
  set(QPalette::Window, colours.window);
  set(QPalette::Base, colours.base);
  set(QPalette::AlternateBase, colours.alternate);
  set(QPalette::Button, colours.bar);
  for (const QPalette::ColorRole role :
       {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::ToolTipText}) {
    set(role, colours.text);
    palette.setColor(QPalette::Disabled, role, QColor::fromRgb(colours.disabled));
  }
  set(QPalette::ToolTipBase, colours.base);
  set(QPalette::PlaceholderText, colours.secondary);
  set(QPalette::BrightText, qRgb(255, 255, 255));
  set(QPalette::Highlight, colours.selection);
  set(QPalette::HighlightedText, colours.selected_text);
  set(QPalette::Link, colours.link);
  set(QPalette::LinkVisited, colours.link);
  set(QPalette::Light, colours.hair);
  set(QPalette::Midlight, colours.hair);
  set(QPalette::Mid, colours.line);
  set(QPalette::Dark, colours.outline);
  set(QPalette::Shadow, colours.outline);
  return palette;
}

/// What the text of a tab takes more when it comes to the front.
int room_for_bold(const QStyleOption* option) {
  const auto* tab = qstyleoption_cast<const QStyleOptionTab*>(option);
  if (tab == nullptr) return 0;
  QFont bold = QApplication::font("QTabBar");
  bold.setBold(true);
  return QFontMetrics(bold).horizontalAdvance(tab->text) - tab->fontMetrics.horizontalAdvance(tab->text) + 2;
}

/// The one button that a bar is about.
QColor main_button(const QPalette& palette) {
  return is_dark(palette) ? QColor(0x2a74b8) : QColor(0x1b67ae);
}

}  // namespace

QPalette dark_palette() {
  return make_palette({0xff1b1e23, 0xff16181c, 0xff1b1e23, 0xff22262c, 0xffe6e9ee, 0xffa6b0bd, 0xff67707d,
                       0xff23435f, 0xffeef5fb, 0xff82bff3, 0xff3c434e, 0xff2a2f37, 0xff4b5462});
}

QPalette light_palette() {
  return make_palette({0xffeceff2, 0xffffffff, 0xfff6f8fa, 0xfff5f7f9, 0xff1b222c, 0xff535e6d, 0xff98a1ad,
                       0xffd5e6f6, 0xff10273e, 0xff125ea6, 0xffc6cdd6, 0xffe2e6eb, 0xffb4bcc7});
}

void apply_theme(Theme theme) {
  if (theme == Theme::system) QApplication::setPalette(QPalette());  // what the desktop says
  const bool dark = theme == Theme::dark || (theme == Theme::system && is_dark(QApplication::palette()));
  const QPalette palette = dark ? dark_palette() : light_palette();
  QApplication::setPalette(palette);
  QToolTip::setPalette(palette);
}

void install_style() {
  QApplication::setStyle(new WorkbenchStyle);
  QFont font = QApplication::font();
  font.setPixelSize(kText);
  QApplication::setFont(font);
  for (const char* secondary : {"QStatusBar", "QHeaderView"}) {
    QApplication::setFont(small_font(font), secondary);
  }
}

WorkbenchStyle::WorkbenchStyle() : QProxyStyle(QStringLiteral("Fusion")) {}

void WorkbenchStyle::polish(QWidget* widget) {
  QProxyStyle::polish(widget);
  // Else a bar hears of the mouse only where it is clicked, and its tab stays lit.
  if (qobject_cast<QTabBar*>(widget) != nullptr) widget->setAttribute(Qt::WA_Hover);
}

int WorkbenchStyle::pixelMetric(PixelMetric metric, const QStyleOption* option, const QWidget* widget) const {
  switch (metric) {
    case PM_DockWidgetSeparatorExtent:
      return kSeparator;
    case PM_ButtonIconSize:
    case PM_SmallIconSize:
    case PM_ToolBarIconSize:
      return 16;
    case PM_TabBarTabShiftVertical:
    case PM_TabBarTabShiftHorizontal:
    case PM_ButtonShiftHorizontal:
    case PM_ButtonShiftVertical:
    case PM_TabBarTabOverlap:
    case PM_TabBarBaseOverlap:
      return 0;
    case PM_ToolTipLabelFrameWidth:
      return 6;
    default:
      return QProxyStyle::pixelMetric(metric, option, widget);
  }
}

QSize WorkbenchStyle::sizeFromContents(ContentsType type, const QStyleOption* option, const QSize& size,
                                       const QWidget* widget) const {
  QSize made = QProxyStyle::sizeFromContents(type, option, size, widget);
  const int text = option != nullptr ? option->fontMetrics.height() : 0;
  switch (type) {
    case CT_PushButton:
    case CT_ComboBox:
    case CT_SpinBox:
    case CT_LineEdit:
      made.setHeight(std::max(kControl, text + 8));
      break;
    case CT_ToolButton:
      made.setHeight(std::max(kControl, text + 8));
      made.rwidth() += 8;
      break;
    case CT_TabBarTab:
      made.setHeight(std::max(kTab, text + 12));
      made.rwidth() += room_for_bold(option);
      break;
    case CT_MenuBarItem:
      made.setHeight(std::max(kTab, text + 12));
      break;
    case CT_HeaderSection:
    case CT_ItemViewItem:
      made.setHeight(std::max(kRow, made.height()));
      break;
    default:
      break;
  }
  return made;
}

/// A button or field of its own outline: what is pressed has the colours of a selection.
void WorkbenchStyle::draw_panel(const QStyleOption& option, QPainter& painter, bool main) const {
  const QPalette& palette = option.palette;
  const bool pressed = option.state & (State_Sunken | State_On);
  const bool enabled = option.state & State_Enabled;
  QColor fill = palette.color(QPalette::Base);
  QColor edge = palette.color(QPalette::Dark);
  if (main && enabled) {
    fill = pressed ? main_button(palette).darker(120) : main_button(palette);
    edge = fill;
  } else if (pressed) {
    fill = palette.color(QPalette::Highlight);
    edge = palette.color(QPalette::Link);
  } else if (!enabled) {
    fill = palette.color(QPalette::Button);
    edge = palette.color(QPalette::Mid);
  } else if (option.state & State_MouseOver) {
    fill = palette.color(QPalette::AlternateBase);
  }
  painter.save();
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setBrush(fill);
  painter.setPen(QPen(edge, 1));
  painter.drawRoundedRect(QRectF(option.rect).adjusted(0.5, 0.5, -0.5, -0.5), kRadius, kRadius);
  if ((option.state & State_HasFocus) && (option.state & State_KeyboardFocusChange)) {
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(palette.color(QPalette::Link), 2));
    painter.drawRoundedRect(QRectF(option.rect).adjusted(1, 1, -1, -1), kRadius, kRadius);
  }
  painter.restore();
}

void WorkbenchStyle::drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter,
                                   const QWidget* widget) const {
  switch (element) {
    case PE_PanelButtonTool:
      if (option->state & (State_Raised | State_Sunken | State_On)) draw_panel(*option, *painter, false);
      return;
    case PE_PanelButtonCommand: {
      const auto* button = qstyleoption_cast<const QStyleOptionButton*>(option);
      draw_panel(*option, *painter,
                 button != nullptr && (button->features & QStyleOptionButton::DefaultButton));
      return;
    }
    case PE_Frame:
      painter->save();
      painter->setPen(option->palette.color(QPalette::Dark));
      painter->setBrush(Qt::NoBrush);
      painter->drawRect(option->rect.adjusted(0, 0, -1, -1));
      painter->restore();
      return;
    case PE_FrameTabBarBase:
    case PE_PanelStatusBar:
    case PE_FrameStatusBarItem:
      return;
    case PE_IndicatorDockWidgetResizeHandle: {
      const QPoint centre = option->rect.center();
      const bool upright = option->rect.height() > option->rect.width();
      painter->fillRect(upright ? QRect(centre.x(), option->rect.top(), 1, option->rect.height())
                                : QRect(option->rect.left(), centre.y(), option->rect.width(), 1),
                        option->palette.color(QPalette::Mid));
      return;
    }
    default:
      QProxyStyle::drawPrimitive(element, option, painter, widget);
  }
  // Fusion's outline of a check box is the window's own colour a little darker, which on a dark window is
  // none.
  const bool outlined = element == PE_PanelMenu || element == PE_IndicatorCheckBox;
  if (!outlined || option == nullptr) return;
  painter->save();
  painter->setPen(option->palette.color(QPalette::PlaceholderText));
  painter->setBrush(Qt::NoBrush);
  painter->drawRect(option->rect.adjusted(0, 0, -1, -1));
  painter->restore();
}

void WorkbenchStyle::drawComplexControl(ComplexControl control, const QStyleOptionComplex* option,
                                        QPainter* painter, const QWidget* widget) const {
  QProxyStyle::drawComplexControl(control, option, painter, widget);
  if (control != CC_ComboBox && control != CC_SpinBox) return;
  // As that of a check box.
  painter->save();
  painter->setRenderHint(QPainter::Antialiasing);
  painter->setBrush(Qt::NoBrush);
  const bool focus = option->state & State_HasFocus;
  painter->setPen(QPen(option->palette.color(focus ? QPalette::Link : QPalette::Dark), focus ? 2 : 1));
  painter->drawRoundedRect(QRectF(option->rect).adjusted(0.5, 0.5, -0.5, -0.5), kRadius, kRadius);
  painter->restore();
}

void WorkbenchStyle::draw_tab(const QStyleOption& option, QPainter& painter) const {
  const bool selected = option.state & State_Selected;
  const QRect& rect = option.rect;
  if (selected) {
    painter.fillRect(rect, option.palette.color(QPalette::Button));
    painter.fillRect(QRect(rect.left(), rect.bottom() + 1 - kLineUnderTab, rect.width(), kLineUnderTab),
                     option.palette.color(QPalette::Link));
  } else if (option.state & State_MouseOver) {
    painter.fillRect(rect, option.palette.color(QPalette::Button));
  }
}

void WorkbenchStyle::drawControl(ControlElement element, const QStyleOption* option, QPainter* painter,
                                 const QWidget* widget) const {
  if (element == CE_TabBarTabShape) {
    draw_tab(*option, *painter);
    return;
  }
  if (element == CE_TabBarTabLabel) {
    if (const auto* tab = qstyleoption_cast<const QStyleOptionTab*>(option)) {
      QStyleOptionTab shown = *tab;
      const bool selected = shown.state & State_Selected;
      shown.palette.setColor(QPalette::WindowText,
                             shown.palette.color(selected ? QPalette::Text : QPalette::PlaceholderText));
      painter->save();
      QFont font = painter->font();
      font.setBold(selected);
      painter->setFont(font);
      QProxyStyle::drawControl(element, &shown, painter, widget);
      painter->restore();
      return;
    }
  }
  if (element == CE_PushButtonLabel) {
    const auto* button = qstyleoption_cast<const QStyleOptionButton*>(option);
    if (button != nullptr && (button->features & QStyleOptionButton::DefaultButton) &&
        (button->state & State_Enabled)) {
      QStyleOptionButton shown = *button;
      shown.palette.setColor(QPalette::ButtonText, Qt::white);
      QProxyStyle::drawControl(element, &shown, painter, widget);
      return;
    }
  }
  QProxyStyle::drawControl(element, option, painter, widget);
}

}  // namespace expertscope
