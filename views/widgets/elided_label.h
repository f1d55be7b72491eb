// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QLabel>

#include "views/models/plain_text.h"

namespace expertscope {

/// One line of plain text that takes the room there is: what does not fit is cut and stands in the tooltip.
class ElidedLabel final : public QLabel {
 public:
  explicit ElidedLabel(QWidget* parent = nullptr) : QLabel(parent) {
    setTextFormat(Qt::PlainText);
    setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  }

  void set_full_text(const QString& text) {
    full_ = text;
    setAccessibleName(text);
    elide();
  }
  QString full_text() const { return full_; }

 protected:
  void resizeEvent(QResizeEvent* event) override {
    QLabel::resizeEvent(event);
    elide();
  }

 private:
  void elide() {
    setText(fontMetrics().elidedText(full_, Qt::ElideRight, contentsRect().width()));
    setToolTip(text() == full_ ? QString() : plain_tooltip(full_));
  }

  QString full_;
};

}  // namespace expertscope
