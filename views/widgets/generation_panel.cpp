// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/generation_panel.h"

#include <QLabel>
#include <QPlainTextEdit>
#include <QScrollBar>
#include <QSplitter>
#include <QTextCursor>
#include <QVBoxLayout>

#include "views/models/plain_text.h"
#include "views/models/workspace.h"
#include "views/widgets/prompt_bar.h"
#include "views/widgets/token_strip.h"

namespace expertscope {

GenerationPanel::GenerationPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent),
      workspace_(workspace),
      prompt_(new PromptBar(workspace)),
      text_(new QPlainTextEdit),
      strip_(new TokenStrip),
      caption_(new QLabel) {
  auto* columns = new QSplitter(Qt::Horizontal);
  columns->setChildrenCollapsible(false);
  columns->addWidget(prompt_);
  columns->addWidget(make_text_column());
  columns->setSizes({1000, 1000});
  auto* rows = new QSplitter(Qt::Vertical);
  rows->setChildrenCollapsible(false);
  rows->addWidget(columns);
  rows->addWidget(make_token_rows());
  rows->setSizes({1000, 1000});
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(rows);
  connect_workspace();
  update_strip();
}

QWidget* GenerationPanel::make_text_column() {
  text_->setObjectName(QStringLiteral("generated_text"));
  text_->setAccessibleName(tr("Generated text"));
  text_->setReadOnly(true);
  text_->setPlaceholderText(tr("Generated text"));
  auto* column = new QWidget;
  auto* layout = new QVBoxLayout(column);
  layout->setContentsMargins(8, 6, 8, 6);
  layout->addWidget(text_);
  return column;
}

QWidget* GenerationPanel::make_token_rows() {
  caption_->setContentsMargins(10, 2, 10, 2);
  caption_->setForegroundRole(QPalette::PlaceholderText);
  auto* box = new QWidget;
  auto* layout = new QVBoxLayout(box);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(caption_);
  layout->addWidget(strip_, 1);
  return box;
}

void GenerationPanel::connect_workspace() {
  EngineController& engine = workspace_.engine();
  connect(prompt_, &PromptBar::started, this, [this] {
    stored_text_of_ = 0;
    text_->clear();
  });
  connect(&engine, &EngineController::text_generated, this,
          [this](const QString& text) { append_text(text); });
  connect(&workspace_.trace(), &TraceSource::view_changed, this, [this] {
    update_strip();
    show_stored_text();
  });
  connect(&workspace_.trace(), &TraceSource::closed, this, &GenerationPanel::update_strip);
  connect(&workspace_.selection(), &Selection::token_changed, this, &GenerationPanel::update_strip);
  connect(&workspace_.selection(), &Selection::range_changed, this, &GenerationPanel::update_strip);
  connect(&workspace_, &Workspace::content_changed, this, [this] {
    text_->clear();
    stored_text_of_ = 0;
    prompt_->setVisible(workspace_.content() != Workspace::Content::trace);
    update_strip();
  });
  TokenChips& chips = strip_->chips();
  Selection& selection = workspace_.selection();
  connect(&chips, &TokenChips::token_clicked, &selection, &Selection::set_token);
  connect(&chips, &TokenChips::range_wanted, &selection, [&selection](qint64 begin, qint64 end) {
    selection.set_range({begin, end});
  });
  connect(&chips, &TokenChips::range_cleared, &selection, &Selection::clear_range);
}

QString GenerationPanel::text() const {
  return text_->toPlainText();
}

void GenerationPanel::append_text(const QString& text) {
  if (text.isEmpty()) return;
  QScrollBar* bar = text_->verticalScrollBar();
  const bool at_end = bar->value() >= bar->maximum() - 4;
  QTextCursor cursor(text_->document());
  cursor.movePosition(QTextCursor::End);
  cursor.insertText(visible(text, LineBreaks::keep));
  if (at_end) bar->setValue(bar->maximum());
}

void GenerationPanel::show_stored_text() {
  const auto view = workspace_.view();
  if (!view || !view->run || workspace_.engine().state() == EngineState::generating) return;
  const RunInfo& run = view->run->run;
  if (run.status == "recording" || stored_text_of_ == run.id) return;
  stored_text_of_ = run.id;
  const QString text = visible(run.text, LineBreaks::keep);
  if (text != text_->toPlainText()) text_->setPlainText(text);
}

void GenerationPanel::update_strip() {
  TokenStripScene scene;
  const auto view = workspace_.view();
  if (view && view->run) {
    scene.page = view->tokens;
    scene.expert = view->expert;
    for (const PolicyChange& change : view->run->policy_changes) {
      if (change.token > 0) scene.edits_at.push_back(change.token);
    }
  }
  scene.selected = workspace_.selection().token();
  scene.range = workspace_.selection().range();
  strip_->set_scene(std::move(scene));
  update_caption();
}

void GenerationPanel::update_caption() {
  const auto view = workspace_.view();
  const Selection& selection = workspace_.selection();
  if (!view || !view->tokens) {
    caption_->setText(tr("Tokens"));
    return;
  }
  QString text = tr("Tokens of run %1").arg(view->run->run.id);
  const auto shown = static_cast<std::int64_t>(view->tokens->tokens.size());
  if (shown < view->tokens->total) {
    const std::int64_t first = shown > 0 ? view->tokens->tokens.front().index : 0;
    text += tr(", %1 to %2 of %3 (Page Up, Page Down)")
                .arg(first)
                .arg(first + shown - 1)
                .arg(view->tokens->total);
  }
  if (selection.cell().valid()) {
    text += tr("  ·  coloured by the weight of layer %1, expert %2")
                .arg(selection.cell().layer)
                .arg(selection.cell().expert);
  }
  if (selection.has_range()) {
    text += tr("  ·  only tokens %1 to %2 are counted (Esc: all)")
                .arg(selection.range().begin)
                .arg(selection.range().end - 1);
  }
  caption_->setText(text);
}

}  // namespace expertscope
