// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/run_delegate.h"

#include <QApplication>
#include <QPainter>
#include <QStyle>

namespace expertscope {
namespace {

constexpr int kMargin = 4;

int line_height(const QStyleOptionViewItem& option) {
  return option.fontMetrics.lineSpacing();
}

}  // namespace

QSize RunDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const {
  QStyleOptionViewItem item = option;
  initStyleOption(&item, index);
  return {0, 2 * line_height(item) + 2 * kMargin};
}

void RunDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option,
                        const QModelIndex& index) const {
  QStyleOptionViewItem item = option;
  initStyleOption(&item, index);
  const QStringList lines = item.text.split(QChar::LineSeparator);
  item.text.clear();
  const QStyle* style = item.widget != nullptr ? item.widget->style() : QApplication::style();
  style->drawControl(QStyle::CE_ItemViewItem, &item, painter, item.widget);

  const bool selected = item.state.testFlag(QStyle::State_Selected);
  const auto group = item.state.testFlag(QStyle::State_Active) ? QPalette::Active : QPalette::Inactive;
  const QColor text = item.palette.color(group, selected ? QPalette::HighlightedText : QPalette::Text);
  const QColor secondary = selected ? text : item.palette.color(group, QPalette::PlaceholderText);
  painter->save();
  painter->setFont(item.font);
  painter->setClipRect(item.rect);
  QRect line(item.rect.left() + kMargin, item.rect.top() + kMargin, item.rect.width() - 2 * kMargin,
             line_height(item));
  for (int i = 0; i < 2 && i < lines.size(); ++i) {
    painter->setPen(i == 0 ? text : secondary);
    painter->drawText(line, Qt::AlignLeft | Qt::AlignVCenter | Qt::TextSingleLine,
                      item.fontMetrics.elidedText(lines[i], Qt::ElideRight, line.width()));
    line.translate(0, line.height());
  }
  painter->restore();
}

}  // namespace expertscope
