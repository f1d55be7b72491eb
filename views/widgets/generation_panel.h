// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QLabel;
class QPlainTextEdit;

namespace expertscope {

class PromptBar;
class TokenStrip;
class Workspace;

/// Prompt, generated text and token strip.
class GenerationPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit GenerationPanel(Workspace& workspace, QWidget* parent = nullptr);

  PromptBar& prompt() { return *prompt_; }
  TokenStrip& strip() { return *strip_; }
  QString text() const;

 private:
  QWidget* make_text_column();
  QWidget* make_token_rows();
  void connect_workspace();
  void append_text(const QString& text);
  void update_strip();
  void update_caption();
  void show_stored_text();

  Workspace& workspace_;
  PromptBar* prompt_;
  QPlainTextEdit* text_;
  TokenStrip* strip_;
  QLabel* caption_;
  std::int64_t stored_text_of_ = 0;  ///< run whose stored text is shown; 0: live text
};

}  // namespace expertscope
