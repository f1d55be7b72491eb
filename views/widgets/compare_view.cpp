// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/compare_view.h"

#include <QAction>
#include <QClipboard>
#include <QComboBox>
#include <QDir>
#include <QEvent>
#include <QFileDialog>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QScrollBar>
#include <QSplitter>
#include <QStackedWidget>
#include <QTextEdit>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "views/models/comparison_text.h"
#include "views/models/design.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"
#include "views/widgets/commands.h"
#include "views/widgets/keep_focus.h"
#include "views/widgets/view_context.h"

namespace expertscope {
namespace {

constexpr int kSmallestResult = 130;  // pixels: the numbers and some lines of the texts
const QString kTextSetting = QStringLiteral("compare/text");
const QString kProtocolSetting = QStringLiteral("compare/protocol");
// Drawn before the first token that differs: the tint is not the only sign.
const QString kMarker = QStringLiteral("▸");

QLabel* make_label(const QString& name) {
  auto* label = new QLabel;
  label->setObjectName(name);
  label->setTextFormat(Qt::PlainText);
  label->setWordWrap(true);
  label->setTextInteractionFlags(Qt::TextSelectableByMouse);
  return label;
}

/// "about 12 s left"; nothing while it is too early to tell.
QString time_left(qint64 elapsed, double fraction) {
  if (fraction < 0.05 || elapsed < 1000) return {};
  const double seconds = static_cast<double>(elapsed) / 1000 * (1 - fraction) / fraction;
  if (seconds < 1) return {};
  return seconds < 90 ? QObject::tr(", about %1 s left").arg(std::lround(seconds))
                      : QObject::tr(", about %1 min left").arg(std::lround(seconds / 60));
}

QString reason_text(const ComparisonSide& side) {
  const int tokens = static_cast<int>(side.generated.ids.size());
  if (side.generated.reason == FinishReason::context)
    return QObject::tr("%1 tokens, then the context was full").arg(tokens);
  return side.generated.reason == FinishReason::eos ? QObject::tr("%1 tokens, ended by the model").arg(tokens)
                                                    : QObject::tr("%1 tokens").arg(tokens);
}

/// The prompt, what both share, and what differs, each in its own look.
void fill_column(QTextEdit& edit, const std::string& prompt, const ComparisonColumn& column) {
  const QPalette palette = edit.palette();
  QTextCharFormat plain;
  QTextCharFormat muted;
  muted.setForeground(palette.color(QPalette::PlaceholderText));
  QTextCharFormat differs;
  QColor tint = design_colours(palette).second;
  tint.setAlphaF(0.28f);
  differs.setBackground(tint);
  QTextCharFormat first = differs;
  first.setFontWeight(QFont::Bold);
  first.setFontUnderline(true);
  QTextCharFormat marker = first;
  marker.setForeground(palette.color(QPalette::Text));
  marker.setFontUnderline(false);

  edit.clear();
  QTextCursor cursor(edit.document());
  cursor.insertText(visible(prompt, LineBreaks::keep), muted);
  cursor.insertText(visible(column.shared, LineBreaks::keep), plain);
  const bool parts = !column.first.isEmpty() || !column.rest.isEmpty();
  if (parts) cursor.insertText(kMarker, marker);
  cursor.insertText(visible(column.first, LineBreaks::keep), first);
  cursor.insertText(visible(column.rest, LineBreaks::keep), differs);
  if (column.ended) cursor.insertText(QObject::tr(" ⟨end of text⟩"), muted);
  edit.moveCursor(QTextCursor::Start);
}

}  // namespace

CompareView::CompareView(Subject& subject, QWidget* parent)
    : QWidget(parent),
      subject_(subject),
      run_(new QPushButton(tr("Compare"))),
      cancel_(new QPushButton(tr("Cancel"))),
      copy_(new QPushButton(tr("Copy"))),
      texts_(new QComboBox),
      protocol_(new QComboBox),
      pages_(new QStackedWidget),
      empty_(make_label(QStringLiteral("compare_empty"))),
      progress_(new QProgressBar),
      progress_text_(make_label(QStringLiteral("compare_progress"))),
      summary_(make_label(QStringLiteral("compare_summary"))),
      numbers_(make_label(QStringLiteral("compare_numbers"))),
      stale_(make_label(QStringLiteral("compare_stale"))),
      before_heading_(make_label(QStringLiteral("compare_before_heading"))),
      after_heading_(make_label(QStringLiteral("compare_after_heading"))),
      before_(new QTextEdit),
      after_(new QTextEdit) {
  setObjectName(QStringLiteral("compare"));
  before_->setObjectName(QStringLiteral("compare_before"));
  after_->setObjectName(QStringLiteral("compare_after"));
  empty_->setAlignment(Qt::AlignCenter);
  empty_->setForegroundRole(QPalette::PlaceholderText);
  empty_->setMargin(20);
  pages_->addWidget(empty_);
  pages_->addWidget(make_result());
  // As high for every result: a long one must not push the buttons up.
  pages_->setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Ignored);
  pages_->setMinimumHeight(kSmallestResult);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(8, 6, 8, 6);
  layout->setSpacing(6);
  layout->addWidget(make_tool_bar());
  layout->addWidget(make_progress());
  layout->addWidget(pages_, 1);
  fill_texts();
  connect_subject();
  show_result();
  update_state();
}

CompareView::CompareView(ViewContext& context) : CompareView(context.subject) {
  connect(this, &CompareView::run_wanted, context.commands.compare, &QAction::trigger);
  connect(context.commands.compare, &QAction::triggered, this, [this, &context] {
    context.raise(this);
    subject_.compare(request(subject_.draft()));
  });
}

QWidget* CompareView::make_tool_bar() {
  run_->setObjectName(QStringLiteral("compare_run"));
  cancel_->setObjectName(QStringLiteral("compare_cancel"));
  copy_->setObjectName(QStringLiteral("compare_copy"));
  copy_->setToolTip(tr("Copy both texts and all numbers"));
  texts_->setObjectName(QStringLiteral("compare_text"));
  texts_->setToolTip(tr("Text whose perplexity is measured without and with the edits"));
  texts_->setAccessibleName(texts_->toolTip());
  // As wide for every text: what stands beside it must not move when another is chosen.
  texts_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  texts_->setMinimumContentsLength(20);
  // In a small window they give way.
  texts_->setMinimumWidth(60);
  protocol_->setMinimumWidth(60);
  protocol_->setObjectName(QStringLiteral("compare_protocol"));
  protocol_->setAccessibleName(tr("Perplexity protocol"));
  protocol_->setToolTip(
      tr("hf: one text, overlapping windows, as Hugging Face documents it.\n"
         "llamacpp: separate windows, the second half of each is scored.\n"
         "Their numbers are not comparable with each other."));
  for (const PerplexityProtocol protocol : {PerplexityProtocol::hf, PerplexityProtocol::llamacpp}) {
    protocol_->addItem(QString::fromLatin1(protocol_name(protocol)), static_cast<int>(protocol));
  }
  protocol_->setCurrentIndex(
      std::max(0, protocol_->findText(subject_.settings().value(kProtocolSetting).toString())));
  auto* row = new QWidget;
  auto* layout = new QHBoxLayout(row);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(run_);
  layout->addWidget(cancel_);
  layout->addSpacing(12);
  auto* label = new QLabel(tr("Perplexity of"));
  label->setBuddy(texts_);
  layout->addWidget(label);
  layout->addWidget(texts_);
  layout->addWidget(protocol_);
  layout->addStretch(1);
  layout->addWidget(copy_);
  return row;
}

QWidget* CompareView::make_progress() {
  progress_->setRange(0, 1000);
  progress_->setTextVisible(false);
  progress_->setMaximumWidth(260);
  progress_row_ = new QWidget;
  auto* layout = new QHBoxLayout(progress_row_);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(progress_);
  layout->addWidget(progress_text_, 1);
  progress_row_->hide();
  return progress_row_;
}

QWidget* CompareView::make_column(QLabel* heading, QTextEdit* text) {
  text->setReadOnly(true);
  text->setTabChangesFocus(true);
  auto* column = new QWidget;
  auto* layout = new QVBoxLayout(column);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(3);
  layout->addWidget(heading);
  layout->addWidget(text, 1);
  return column;
}

QWidget* CompareView::make_result() {
  QFont bold = summary_->font();
  bold.setBold(true);
  summary_->setFont(bold);
  stale_->setText(tr("The edits have changed since: this is how they were."));
  before_->setAccessibleName(tr("Text without the edits"));
  after_->setAccessibleName(tr("Text with the edits"));
  auto* columns = new QSplitter(Qt::Horizontal);
  columns->setChildrenCollapsible(false);
  columns->addWidget(make_column(before_heading_, before_));
  columns->addWidget(make_column(after_heading_, after_));
  auto* page = new QWidget;
  auto* layout = new QVBoxLayout(page);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(4);
  layout->addWidget(summary_);
  layout->addWidget(numbers_);
  layout->addWidget(stale_);
  layout->addWidget(columns, 1);
  // The two texts are read line by line beside each other.
  connect(before_->verticalScrollBar(), &QScrollBar::valueChanged, after_->verticalScrollBar(),
          &QScrollBar::setValue);
  connect(after_->verticalScrollBar(), &QScrollBar::valueChanged, before_->verticalScrollBar(),
          &QScrollBar::setValue);
  return page;
}

void CompareView::connect_subject() {
  const EngineController& engine = subject_.engine();
  connect(run_, &QPushButton::clicked, this, &CompareView::run_wanted);
  connect(cancel_, &QPushButton::clicked, &subject_, &Subject::stop);
  connect(copy_, &QPushButton::clicked, this, &CompareView::copy);
  connect(texts_, &QComboBox::activated, this, &CompareView::choose_text);
  connect(protocol_, &QComboBox::currentTextChanged, this,
          [this](const QString& name) { subject_.settings().setValue(kProtocolSetting, name); });
  connect(&engine, &EngineController::state_changed, this, &CompareView::update_state);
  connect(&engine, &EngineController::comparison_progressed, this, &CompareView::show_progress);
  connect(&engine, &EngineController::comparison_finished, this, &CompareView::show_result);
  connect(&subject_, &Subject::content_changed, this, [this] {
    show_result();
    update_state();
  });
  connect(&subject_.edits(), &RoutingEdits::policy_changed, this, [this] {
    update_state();
    show_staleness();
  });
}

void CompareView::fill_texts() {
  texts_->addItem(tr("no text"), QString());
  if (!subject_.sample_texts().empty()) {
    const QDir folder(QString::fromStdString(subject_.sample_texts().string()));
    for (const QFileInfo& file : folder.entryInfoList({"*.txt"}, QDir::Files, QDir::Name)) {
      texts_->addItem(file.fileName(), file.absoluteFilePath());
    }
  }
  texts_->insertSeparator(texts_->count());
  texts_->addItem(tr("choose a file ..."));
  const QString last = subject_.settings().value(kTextSetting).toString();
  if (!last.isEmpty() && QFileInfo::exists(last)) set_text(last);
}

QString CompareView::text() const {
  return texts_->itemData(chosen_text_).toString();
}

void CompareView::set_text(const QString& file) {
  int row = texts_->findData(file.isEmpty() ? QString() : file);
  if (row < 0) {
    row = 1;
    texts_->insertItem(row, visible(QFileInfo(file).fileName()), file);
    texts_->setItemData(row, plain_tooltip(file), Qt::ToolTipRole);
  }
  chosen_text_ = row;
  texts_->setCurrentIndex(row);
  protocol_->setEnabled(!file.isEmpty());
  subject_.settings().setValue(kTextSetting, file);
}

void CompareView::choose_text(int index) {
  if (index < texts_->count() - 1) {
    set_text(texts_->itemData(index).toString());
    return;
  }
  texts_->setCurrentIndex(chosen_text_);
  ask_for_text();
}

void CompareView::ask_for_text() {
  auto* dialog = new QFileDialog(this, tr("Text to score"));
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setFileMode(QFileDialog::ExistingFile);
  dialog->setNameFilters({tr("Texts (*.txt *.md *.jsonl *.jsonlines *.ndjson *.json)"), tr("All files (*)")});
  connect(dialog, &QFileDialog::fileSelected, this, &CompareView::set_text);
  dialog->open();
}

ComparisonRequest CompareView::request(const PromptRequest& prompt) const {
  ComparisonRequest request;
  request.prompt = prompt.prompt;
  request.chat_template = prompt.chat_template;
  request.options = prompt.options;
  request.text = text().toStdString();
  request.perplexity.protocol = static_cast<PerplexityProtocol>(protocol_->currentData().toInt());
  return request;
}

void CompareView::update_state() {
  const EngineState state = subject_.engine().state();
  const bool any_edit = subject_.edits().any_enabled();
  const bool comparing = state == EngineState::comparing;
  if (comparing) cancel_->setEnabled(true);
  set_enabled(*run_, subject_.engine().can_run() && any_edit,
              comparing ? static_cast<QWidget&>(*cancel_) : *texts_);
  run_->setToolTip(any_edit ? tr("Run the prompt with the same seed without and with the edits")
                            : tr("There is nothing to compare yet: no edit is switched on"));
  set_enabled(*cancel_, comparing, run_->isEnabled() ? static_cast<QWidget&>(*run_) : *texts_);
  if (comparing && !progress_row_->isVisibleTo(this)) running_.start();
  progress_row_->setVisible(comparing);
  if (!comparing) progress_text_->clear();
  empty_->setText(
      subject_.content() == Subject::Content::trace
          ? Subject::why_not_editable()
          : tr("See what your edits do.\n\n"
               "Prune, reroute or boost an expert on the map, type a prompt below and press Compare: the "
               "prompt runs twice with the same seed, without and with the edits. Choose a text to "
               "measure its perplexity before and after."));
}

void CompareView::show_progress(const QString& what, double fraction) {
  progress_->setRange(0, fraction < 0 ? 0 : 1000);
  progress_->setValue(static_cast<int>(std::lround(fraction * 1000)));
  progress_text_->setText(what + time_left(running_.elapsed(), fraction));
}

void CompareView::show_result() {
  shown_ = subject_.engine().comparison();
  copy_->setEnabled(shown_ != nullptr);
  pages_->setCurrentIndex(shown_ ? 1 : 0);
  if (!shown_) return;
  const ComparisonResult& result = *shown_;
  summary_->setText(divergence_summary(result));
  QStringList lines;
  if (const QString perplexity = perplexity_summary(result); !perplexity.isEmpty())
    lines << perplexity + QStringLiteral(" · ") + perplexity_protocol(result);
  if (const QString kl = kl_summary(result); !kl.isEmpty()) lines << kl;
  numbers_->setText(lines.join(QLatin1Char('\n')));
  numbers_->setVisible(!lines.isEmpty());
  before_heading_->setText(tr("Without the edits  (%1)").arg(reason_text(result.before)));
  after_heading_->setText(tr("With the edits  (%1)").arg(reason_text(result.after)));
  fill_column(*before_, result.request.prompt, comparison_column(result.before, result.first_difference));
  fill_column(*after_, result.request.prompt, comparison_column(result.after, result.first_difference));
  show_staleness();
}

void CompareView::show_staleness() {
  const auto& edited = shown_ ? shown_->request.edited : nullptr;
  const auto now = subject_.edits().table();
  stale_->setVisible(edited && now && edited->policy_json != now->policy_json);
}

void CompareView::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  // The texts hold colours of the palette they were made with.
  if (event->type() == QEvent::PaletteChange && shown_) show_result();
}

void CompareView::copy() const {
  if (shown_) QGuiApplication::clipboard()->setText(comparison_as_text(*shown_));
}

}  // namespace expertscope
