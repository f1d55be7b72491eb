// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QScrollArea>
#include <memory>
#include <vector>

#include "views/models/trace_view.h"

namespace expertscope {

/// What the strip draws.
struct TokenStripScene {
  std::shared_ptr<const TokenPage> page;
  std::shared_ptr<const ExpertDetail> expert;  ///< colours the tokens it ran for; null: none selected
  std::vector<std::int64_t> edits_at;          ///< run tokens from which an edit took effect
  std::int64_t selected = -1;
  TokenRange range;
  std::shared_ptr<const CountedTokens> counted;  ///< the others are pale; null: all count
};

/// The tokens as wrapped chips. Knows pixels; TokenStrip scrolls it.
class TokenChips final : public QWidget {
  Q_OBJECT
 public:
  explicit TokenChips(QWidget* parent = nullptr);

  void set_scene(TokenStripScene scene);
  const TokenStripScene& scene() const { return scene_; }
  /// Run token index under a point; -1: none.
  std::int64_t token_at(const QPointF& point) const;
  /// Where a token is drawn; empty when it is not on the page.
  QRectF rect_of(std::int64_t token) const;
  /// While it tells of a click: the token is under the mouse.
  bool is_clicked() const { return clicked_; }

  /// From one line of chips to the next.
  double line_height() const;
  bool hasHeightForWidth() const override { return true; }
  int heightForWidth(int width) const override;

 Q_SIGNALS:
  void token_clicked(qint64 token);
  void range_wanted(qint64 begin, qint64 end);
  void range_cleared();

 protected:
  bool event(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  void lay_out(int width);
  void paint_chip(QPainter& painter, std::size_t index, double heaviest) const;
  QString tooltip(std::size_t index) const;
  float weight_of(std::size_t index) const;
  void step(std::int64_t by);

  TokenStripScene scene_;
  bool clicked_ = false;
  std::vector<QString> texts_;  ///< [tokens of the page]
  std::vector<double> widths_;  ///< [tokens of the page]
  std::vector<QRectF> rects_;   ///< [tokens of the page]
};

/// The chips in a scroll area; stays at the end while tokens arrive and through a resize, unless the person
/// scrolled up, and shows the selected token as soon as its page is there.
class TokenStrip final : public QScrollArea {
  Q_OBJECT
 public:
  explicit TokenStrip(QWidget* parent = nullptr);

  TokenChips& chips() { return *chips_; }
  void set_scene(TokenStripScene scene);

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  bool is_at_end() const;
  void fit_height();
  void reveal(std::int64_t token);

  TokenChips* chips_;
  std::int64_t revealed_ = -1;  ///< the selected token, once it was scrolled to
};

}  // namespace expertscope
