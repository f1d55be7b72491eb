// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QEvent>
#include <QLabel>

namespace expertscope {

/// Rich text whose links have the colour of the palette also after a change of theme: Qt writes it into the
/// text when the text is set.
class LinkLabel final : public QLabel {
 public:
  using QLabel::QLabel;

 protected:
  void changeEvent(QEvent* event) override {
    QLabel::changeEvent(event);
    if (event->type() != QEvent::PaletteChange) return;
    const QString same = text();
    clear();
    setText(same);
  }
};

}  // namespace expertscope
