// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/generation_panel.h"

#include <QButtonGroup>
#include <QHBoxLayout>
#include <QPlainTextEdit>
#include <QScrollBar>
#include <QSplitter>
#include <QStackedWidget>
#include <QStyleOptionToolButton>
#include <QTextCursor>
#include <QToolButton>
#include <QVBoxLayout>

#include "views/models/plain_text.h"
#include "views/models/workspace.h"
#include "views/widgets/elided_label.h"
#include "views/widgets/prompt_bar.h"
#include "views/widgets/token_strip.h"

namespace expertscope {
namespace {

const QString kViewSetting = QStringLiteral("generation/view");
// The text's two looks: ids of the buttons, pages of the stack.
constexpr int kTokens = 0;
constexpr int kText = 1;

/// The pressed one has the colours of a selection: a shade of grey alone is hard to see in the dark.
class LookButton final : public QToolButton {
 protected:
  void initStyleOption(QStyleOptionToolButton* option) const override {
    QToolButton::initStyleOption(option);
    if (!isChecked()) return;
    option->palette.setBrush(QPalette::Button, palette().highlight());
    option->palette.setBrush(QPalette::ButtonText, palette().highlightedText());
  }
};

}  // namespace

GenerationPanel::GenerationPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent),
      workspace_(workspace),
      prompt_(new PromptBar(workspace)),
      text_(new QPlainTextEdit),
      strip_(new TokenStrip),
      caption_(new ElidedLabel),
      views_(new QButtonGroup(this)),
      pages_(new QStackedWidget) {
  auto* rows = new QSplitter(Qt::Vertical);
  rows->setChildrenCollapsible(false);
  rows->addWidget(make_rows());
  rows->addWidget(prompt_);
  rows->setStretchFactor(0, 1);
  rows->setStretchFactor(1, 0);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(rows);
  show_as(workspace.settings().value(kViewSetting, kTokens).toInt() == kText ? kText : kTokens);
  connect_workspace();
  update_strip();
}

QWidget* GenerationPanel::make_bar() {
  caption_->setForegroundRole(QPalette::PlaceholderText);
  auto* bar = new QWidget;
  auto* layout = new QHBoxLayout(bar);
  layout->setContentsMargins(10, 2, 8, 2);
  layout->setSpacing(0);
  layout->addWidget(caption_, 1);
  const auto add = [&](int page, const QString& name, const QString& text, const QString& tip) {
    auto* button = new LookButton;
    button->setObjectName(name);
    button->setText(text);
    button->setToolTip(tip);
    button->setCheckable(true);
    views_->addButton(button, page);
    layout->addWidget(button);
  };
  add(kTokens, QStringLiteral("show_tokens"), tr("Tokens"), tr("Every token, coloured by its routing"));
  add(kText, QStringLiteral("show_text"), tr("Text"), tr("The generated text as it reads"));
  connect(views_, &QButtonGroup::idClicked, this, &GenerationPanel::show_as);
  return bar;
}

QWidget* GenerationPanel::make_rows() {
  text_->setObjectName(QStringLiteral("generated_text"));
  text_->setAccessibleName(tr("Generated text"));
  text_->setReadOnly(true);
  text_->setFrameShape(QFrame::NoFrame);
  text_->setPlaceholderText(tr("Generated text"));
  pages_->addWidget(strip_);
  pages_->addWidget(text_);
  auto* box = new QWidget;
  auto* layout = new QVBoxLayout(box);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(make_bar());
  layout->addWidget(pages_, 1);
  return box;
}

void GenerationPanel::show_as(int page) {
  views_->button(page)->setChecked(true);
  pages_->setCurrentIndex(page);
  workspace_.settings().setValue(kViewSetting, page);
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
    caption_->set_full_text(tr("Tokens"));
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
