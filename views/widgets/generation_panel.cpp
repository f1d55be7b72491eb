// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/generation_panel.h"

#include <QAction>
#include <QButtonGroup>
#include <QHBoxLayout>
#include <QLabel>
#include <QPlainTextEdit>
#include <QScrollBar>
#include <QStackedWidget>
#include <QTextCursor>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/design.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"
#include "views/widgets/commands.h"
#include "views/widgets/domain_chip.h"
#include "views/widgets/elided_label.h"
#include "views/widgets/prompt_bar.h"
#include "views/widgets/token_strip.h"
#include "views/widgets/view_context.h"

namespace expertscope {
namespace {

const QString kViewSetting = QStringLiteral("generation/view");
// The text's two looks: ids of the buttons, pages of the stack.
constexpr int kTokens = 0;
constexpr int kText = 1;

constexpr int kBarHeight = 26;   // pixels
constexpr int kFewestLines = 2;  // of tokens
constexpr int kLineHeight = 22;  // pixels

}  // namespace

GenerationPanel::GenerationPanel(ViewContext& context)
    : subject_(context.subject),
      prompt_(new PromptBar(context.subject)),
      text_(new QPlainTextEdit),
      strip_(new TokenStrip),
      title_(new QLabel),
      caption_(new ElidedLabel),
      views_(new QButtonGroup(this)),
      pages_(new QStackedWidget) {
  text_->setObjectName(QStringLiteral("generated_text"));
  text_->setAccessibleName(tr("Generated text"));
  text_->setReadOnly(true);
  text_->setFrameShape(QFrame::NoFrame);
  text_->setPlaceholderText(tr("Generated text"));
  pages_->addWidget(strip_);
  pages_->addWidget(text_);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(make_bar());
  layout->addWidget(pages_, 1);
  layout->addWidget(prompt_);
  show_as(subject_.settings().value(kViewSetting, kTokens).toInt() == kText ? kText : kTokens);
  connect_subject();
  connect(context.commands.generate, &QAction::triggered, prompt_, &PromptBar::generate);
  connect(context.commands.edit_prompt, &QAction::triggered, prompt_, &PromptBar::focus_prompt);
  update_strip();
}

QWidget* GenerationPanel::make_bar() {
  title_->setFont(heading_font(title_->font(), 1));
  caption_->setForegroundRole(QPalette::PlaceholderText);
  auto* bar = new QWidget;
  bar->setFixedHeight(std::max(kBarHeight, fontMetrics().height() + 10));
  bar->setBackgroundRole(QPalette::Button);
  bar->setAutoFillBackground(true);
  auto* layout = new QHBoxLayout(bar);
  layout->setContentsMargins(8, 0, 8, 0);
  layout->setSpacing(8);
  layout->addWidget(title_);
  layout->addWidget(new DomainChip(subject_));
  layout->addWidget(caption_, 1);
  auto* looks = new QHBoxLayout;
  looks->setSpacing(0);
  layout->addLayout(looks);
  const auto add = [&](int page, const QString& name, const QString& text, const QString& tip) {
    auto* button = new QToolButton;
    button->setObjectName(name);
    button->setText(text);
    button->setToolTip(tip);
    button->setCheckable(true);
    views_->addButton(button, page);
    looks->addWidget(button);
  };
  add(kTokens, QStringLiteral("show_tokens"), tr("Tokens"), tr("Every token, coloured by its routing"));
  add(kText, QStringLiteral("show_text"), tr("Text"), tr("The generated text as it reads"));
  connect(views_, &QButtonGroup::idClicked, this, &GenerationPanel::show_as);
  return bar;
}

/// Whatever is typed: the prompt grows into the tokens above it and takes nothing from the map.
QSize GenerationPanel::minimumSizeHint() const {
  return {0, kBarHeight + kFewestLines * kLineHeight + prompt_->height_of(1)};
}

void GenerationPanel::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  int lines = 1;
  while (kBarHeight + kFewestLines * kLineHeight + prompt_->height_of(lines + 1) <= height() && lines < 6) {
    ++lines;
  }
  prompt_->set_most_lines(lines);
}

void GenerationPanel::show_as(int page) {
  views_->button(page)->setChecked(true);
  pages_->setCurrentIndex(page);
  subject_.settings().setValue(kViewSetting, page);
}

void GenerationPanel::connect_subject() {
  const EngineController& engine = subject_.engine();
  connect(prompt_, &PromptBar::started, this, [this] {
    stored_text_of_ = 0;
    text_->clear();
  });
  connect(&engine, &EngineController::text_generated, this,
          [this](const QString& text) { append_text(text); });
  connect(&subject_.trace(), &TraceSource::view_changed, this, [this] {
    update_strip();
    show_stored_text();
  });
  connect(&subject_.trace(), &TraceSource::closed, this, &GenerationPanel::update_strip);
  connect(&subject_.selection(), &Selection::token_changed, this, &GenerationPanel::update_strip);
  connect(&subject_.selection(), &Selection::range_changed, this, &GenerationPanel::update_strip);
  connect(&subject_, &Subject::content_changed, this, [this] {
    text_->clear();
    stored_text_of_ = 0;
    prompt_->setVisible(subject_.content() != Subject::Content::trace);
    update_strip();
  });
  TokenChips& chips = strip_->chips();
  Selection& selection = subject_.selection();
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
  const auto view = subject_.view();
  if (!view || !view->run || subject_.engine().state() == EngineState::generating) return;
  const RunInfo& run = view->run->run;
  if (run.status == "recording" || stored_text_of_ == run.id) return;
  stored_text_of_ = run.id;
  const QString text = visible(run.text, LineBreaks::keep);
  if (text != text_->toPlainText()) text_->setPlainText(text);
}

void GenerationPanel::update_strip() {
  TokenStripScene scene;
  const auto view = subject_.view();
  if (view && view->run) {
    scene.page = view->tokens;
    scene.expert = view->expert;
    scene.counted = view->counted;
    for (const PolicyChange& change : view->run->policy_changes) {
      if (change.token > 0) scene.edits_at.push_back(change.token);
    }
  }
  scene.selected = subject_.selection().token();
  scene.range = subject_.selection().range();
  strip_->set_scene(std::move(scene));
  update_caption();
}

void GenerationPanel::update_caption() {
  const auto view = subject_.view();
  const Selection& selection = subject_.selection();
  title_->setText(view && view->tokens ? tr("Run %1").arg(view->run->run.id) : tr("Tokens"));
  if (!view || !view->tokens) {
    caption_->set_full_text({});
    return;
  }
  const auto shown = static_cast<std::int64_t>(view->tokens->tokens.size());
  const std::int64_t first = shown > 0 ? view->tokens->tokens.front().index : 0;
  QString text = shown < view->tokens->total ? tr("tokens %1 to %2 of %3 (Page Up, Page Down)")
                                                   .arg(first)
                                                   .arg(first + shown - 1)
                                                   .arg(view->tokens->total)
                                             : tr("%1 tokens").arg(view->tokens->total);
  if (selection.cell().valid()) {
    const Cell cell = selection.cell();
    text += tr("  ·  coloured by the %1 of layer %2, %3")
                .arg(cell.is_shared() ? tr("max |down_proj|") : tr("weight"), QString::number(cell.layer),
                     expert_name(cell));
  }
  if (selection.has_range()) {
    text += tr("  ·  only tokens %1 to %2 are counted (Esc: all)")
                .arg(selection.range().begin)
                .arg(selection.range().end - 1);
  }
  caption_->set_full_text(text);
}

}  // namespace expertscope
