// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QButtonGroup;
class QPlainTextEdit;
class QStackedWidget;

namespace expertscope {

class ElidedLabel;
class PromptBar;
class TokenStrip;
class Workspace;

/// The generated text, as tokens or as running text over the whole width, and the prompt below it.
class GenerationPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit GenerationPanel(Workspace& workspace, QWidget* parent = nullptr);

  PromptBar& prompt() { return *prompt_; }
  TokenStrip& strip() { return *strip_; }
  QString text() const;

 private:
  QWidget* make_bar();
  QWidget* make_rows();
  void show_as(int page);
  void connect_workspace();
  void append_text(const QString& text);
  void update_strip();
  void update_caption();
  void show_stored_text();

  Workspace& workspace_;
  PromptBar* prompt_;
  QPlainTextEdit* text_;
  TokenStrip* strip_;
  ElidedLabel* caption_;
  QButtonGroup* views_;
  QStackedWidget* pages_;
  std::int64_t stored_text_of_ = 0;  ///< run whose stored text is shown; 0: live text
};

}  // namespace expertscope
