// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QButtonGroup;
class QLabel;
class QPlainTextEdit;
class QStackedWidget;

namespace expertscope {

class ElidedLabel;
class PromptBar;
class TokenStrip;
class Subject;
struct ViewContext;

/// The generated text, as tokens or as running text over the whole width, and the prompt below it.
class GenerationPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit GenerationPanel(ViewContext& context);

  PromptBar& prompt() { return *prompt_; }
  TokenStrip& strip() { return *strip_; }
  QString text() const;
  QSize minimumSizeHint() const override;

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  QWidget* make_bar();
  void show_as(int page);
  void connect_subject();
  void append_text(const QString& text);
  void update_strip();
  void update_caption();
  void show_stored_text();

  Subject& subject_;
  PromptBar* prompt_;
  QPlainTextEdit* text_;
  TokenStrip* strip_;
  QLabel* title_;
  ElidedLabel* caption_;
  QButtonGroup* views_;
  QStackedWidget* pages_;
  std::int64_t stored_text_of_ = 0;  ///< run whose stored text is shown; 0: live text
};

}  // namespace expertscope
