// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/prompt_bar.h"

#include <QAbstractTextDocumentLayout>
#include <QCheckBox>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QKeyEvent>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QToolButton>
#include <algorithm>
#include <cmath>

#include "engine/text/chat_template.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"
#include "views/widgets/decimal_spin_box.h"
#include "views/widgets/keep_focus.h"

namespace expertscope {
namespace {

const QString kSettings = QStringLiteral("prompt/");
constexpr int kMargin = 6;  // pixels above and below
constexpr int kMostLines = 6;
constexpr int kDefaultPace = 20;  // tokens a second: a person can read along
const QString kDefaultPrompt = QStringLiteral("In the beginning");

}  // namespace

PromptBar::PromptBar(Subject& subject, QWidget* parent)
    : QWidget(parent),
      subject_(subject),
      prompt_(new QPlainTextEdit),
      sampling_(new QToolButton),
      generate_(new QPushButton(tr("Generate"))),
      stop_(new QPushButton(tr("Stop"))) {
  prompt_->setObjectName(QStringLiteral("prompt"));
  prompt_->setPlaceholderText(tr("Type a prompt; Enter generates, Shift+Enter begins a new line"));
  prompt_->setAccessibleName(tr("Prompt"));
  prompt_->setTabChangesFocus(true);
  prompt_->installEventFilter(this);
  generate_->setObjectName(QStringLiteral("generate"));
  generate_->setToolTip(tr("Run the prompt and record the routing (Enter; Shift+Enter begins a new line)"));
  generate_->setDefault(true);
  generate_->setAutoDefault(false);
  stop_->setObjectName(QStringLiteral("stop"));
  stop_->setToolTip(tr("Stop after the token that is being computed (Ctrl+.)"));
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(8, kMargin, 8, kMargin);
  layout->setSpacing(8);
  layout->addWidget(prompt_, 1);
  make_settings();
  for (QWidget* widget : std::initializer_list<QWidget*>{sampling_, max_tokens_, pace_, generate_, stop_}) {
    layout->addWidget(widget, 0, Qt::AlignBottom);
  }
  restore_settings();
  connect_subject();
  update_state();
  fit_lines();
}

/// What is seldom changed is behind a button that says what is set.
void PromptBar::make_settings() {
  auto* panel = new QFrame(this, Qt::Popup);
  panel->setFrameShape(QFrame::StyledPanel);
  auto* rows = new QFormLayout(panel);
  const auto name = [](QWidget* widget, const QString& object, const QString& tip) {
    widget->setObjectName(object);
    widget->setToolTip(tip);
    widget->setAccessibleName(tip);
    return widget;
  };
  temperature_ = new DecimalSpinBox;
  temperature_->setRange(0, 5);
  temperature_->setSingleStep(0.1);
  rows->addRow(tr("Temperature"), name(temperature_, QStringLiteral("temperature"),
                                       tr("Temperature; 0 is greedy: always the most probable token")));
  top_k_ = new QSpinBox;
  top_k_->setRange(0, 999);
  top_k_->setSpecialValueText(tr("off"));
  rows->addRow(tr("top-k"), name(top_k_, QStringLiteral("top_k"),
                                 tr("Sample from this many of the most probable tokens")));
  top_p_ = new DecimalSpinBox;
  top_p_->setRange(0.01, 1);
  top_p_->setSingleStep(0.05);
  rows->addRow(tr("top-p"), name(top_p_, QStringLiteral("top_p"),
                                 tr("Sample from the most probable tokens that reach this probability "
                                    "together; 1 is off")));
  seed_ = new QSpinBox;
  seed_->setRange(0, 999999);
  rows->addRow(tr("seed"), name(seed_, QStringLiteral("seed"), tr("The same seed gives the same text")));
  chat_ = new QCheckBox(tr("chat template"));
  chat_->setObjectName(QStringLiteral("chat_template"));
  rows->addRow(chat_);
  max_tokens_ = new QSpinBox;
  max_tokens_->setRange(1, 4096);
  max_tokens_->setSuffix(tr(" tokens"));
  name(max_tokens_, QStringLiteral("max_tokens"), tr("Most tokens to generate"));
  pace_ = new QSpinBox;
  pace_->setRange(0, 1000);
  pace_->setSuffix(tr(" tokens/s"));
  pace_->setSpecialValueText(tr("full speed"));
  name(pace_, QStringLiteral("pace"),
       tr("At most this many tokens a second, so that a small model can be watched and edited; full speed: "
          "as fast as it runs"));
  sampling_->setObjectName(QStringLiteral("sampling"));
  sampling_->setToolTip(tr("How the next token is chosen"));
  connect(sampling_, &QToolButton::clicked, panel, [this, panel] {
    panel->adjustSize();
    panel->move(sampling_->mapToGlobal(QPoint(0, -panel->height() - 4)));
    panel->show();
    temperature_->setFocus();
  });
  for (QAbstractSpinBox* field :
       std::initializer_list<QAbstractSpinBox*>{temperature_, top_k_, top_p_, seed_, max_tokens_, pace_}) {
    field->installEventFilter(this);
  }
}

void PromptBar::connect_subject() {
  const EngineController& engine = subject_.engine();
  connect(generate_, &QPushButton::clicked, this, &PromptBar::generate);
  connect(stop_, &QPushButton::clicked, &subject_, &Subject::stop);
  connect(&engine, &EngineController::state_changed, this, &PromptBar::update_state);
  connect(&engine, &EngineController::model_opened, this, [this] {
    use_model_defaults();
    update_state();
    prompt_->setFocus();
    prompt_->selectAll();  // a proposal: typing replaces it
  });
  connect(prompt_, &QPlainTextEdit::textChanged, this, &PromptBar::update_state);
  connect(prompt_->document()->documentLayout(), &QAbstractTextDocumentLayout::documentSizeChanged, this,
          &PromptBar::fit_lines);
  for (QDoubleSpinBox* field : {temperature_, top_p_}) {
    connect(field, &QDoubleSpinBox::valueChanged, this, &PromptBar::publish);
  }
  for (QSpinBox* field : {top_k_, seed_, max_tokens_, pace_}) {
    connect(field, &QSpinBox::valueChanged, this, &PromptBar::publish);
  }
  connect(chat_, &QCheckBox::toggled, this, &PromptBar::publish);
}

/// What is typed and set is what other views compare with.
void PromptBar::publish() {
  const QString temperature =
      temperature_->value() > 0 ? tr("T %1").arg(temperature_->value(), 0, 'f', 2) : tr("greedy");
  sampling_->setText(
      tr("%1, top-p %2, seed %3 ▾").arg(temperature).arg(top_p_->value(), 0, 'f', 2).arg(seed_->value()));
  subject_.set_draft(request());
}

void PromptBar::set_most_lines(int lines) {
  most_lines_ = std::clamp(lines, 1, kMostLines);
  fit_lines();
}

/// One line that grows with the text; what is more can be scrolled.
void PromptBar::fit_lines() {
  // In lines, not pixels: so measures the layout of a plain text.
  const int lines = static_cast<int>(prompt_->document()->documentLayout()->documentSize().height());
  const int shown = std::clamp(lines, 1, most_lines_);
  prompt_->setVerticalScrollBarPolicy(lines > shown ? Qt::ScrollBarAlwaysOn : Qt::ScrollBarAlwaysOff);
  prompt_->setFixedHeight(shown * prompt_->fontMetrics().lineSpacing() + line_frame());
}

int PromptBar::line_frame() const {
  return static_cast<int>(2 * prompt_->document()->documentMargin()) + 2 * prompt_->frameWidth();
}

int PromptBar::height_of(int lines) const {
  return lines * prompt_->fontMetrics().lineSpacing() + line_frame() + 2 * kMargin;
}

void PromptBar::focus_prompt() {
  prompt_->setFocus();
  prompt_->selectAll();
}

void PromptBar::restore_settings() {
  QSettings& settings = subject_.settings();
  show_sampling();
  seed_->setValue(settings.value(kSettings + "seed", 1).toInt());
  max_tokens_->setValue(settings.value(kSettings + "max_tokens", 128).toInt());
  pace_->setValue(settings.value(kSettings + "pace", kDefaultPace).toInt());
  prompt_->setPlainText(settings.value(kSettings + "text", kDefaultPrompt).toString());
}

void PromptBar::show_sampling() {
  const QSettings& settings = subject_.settings();
  temperature_->setValue(settings.value(kSettings + "temperature", proposed_.temperature).toDouble());
  top_k_->setValue(settings.value(kSettings + "top_k", proposed_.top_k).toInt());
  top_p_->setValue(settings.value(kSettings + "top_p", proposed_.top_p).toDouble());
}

void PromptBar::store_settings() const {
  QSettings& settings = subject_.settings();
  // A proposal that was left alone is not the person's choice: the next model may propose another.
  const auto store = [&settings](const char* name, double value, double proposed) {
    if (std::abs(value - proposed) < 0.005) {
      settings.remove(kSettings + name);
    } else {
      settings.setValue(kSettings + name, value);
    }
  };
  store("temperature", temperature_->value(), proposed_.temperature);
  store("top_k", top_k_->value(), proposed_.top_k);
  store("top_p", top_p_->value(), proposed_.top_p);
  settings.setValue(kSettings + "seed", seed_->value());
  settings.setValue(kSettings + "max_tokens", max_tokens_->value());
  settings.setValue(kSettings + "pace", pace_->value());
  settings.setValue(kSettings + "text", prompt_->toPlainText());
}

void PromptBar::use_model_defaults() {
  const Model& model = *subject_.engine().model();
  const bool has_template = model.chat_template() != nullptr;
  chat_->setEnabled(has_template);
  chat_->setChecked(false);
  chat_->setToolTip(has_template ? tr("Wrap the prompt as a user's turn, with the model's chat template")
                                 : visible(model.require_chat_template().error().message));
  max_tokens_->setMaximum(subject_.engine().max_context());
  proposed_ = proposed_sampling(model.config().generation);
  show_sampling();
}

void PromptBar::update_state() {
  const EngineState state = subject_.engine().state();
  // Back to the prompt, where the next run begins, and not on to the temperature, which keys would change.
  set_enabled(*generate_, subject_.engine().can_run() && !prompt_->toPlainText().isEmpty(), *prompt_);
  set_enabled(*stop_, state == EngineState::generating || state == EngineState::comparing, *prompt_);
  setEnabled(state != EngineState::no_model);
  publish();
}

PromptRequest PromptBar::request() const {
  PromptRequest request;
  request.prompt = prompt_->toPlainText().toStdString();
  request.chat_template = chat_->isEnabled() && chat_->isChecked();
  request.options.max_tokens = max_tokens_->value();
  request.tokens_per_second = pace_->value();
  SamplingOptions& sampling = request.options.sampling;
  sampling = proposed_;
  sampling.temperature = static_cast<float>(temperature_->value());
  sampling.top_k = top_k_->value();
  sampling.top_p = static_cast<float>(top_p_->value());
  sampling.seed = static_cast<std::uint64_t>(seed_->value());
  return request;
}

void PromptBar::set_prompt(const QString& prompt) {
  prompt_->setPlainText(prompt);
}

void PromptBar::set_request(const PromptRequest& request) {
  set_prompt(QString::fromStdString(request.prompt));
  temperature_->setValue(static_cast<double>(request.options.sampling.temperature));
  top_k_->setValue(request.options.sampling.top_k);
  top_p_->setValue(static_cast<double>(request.options.sampling.top_p));
  seed_->setValue(static_cast<int>(request.options.sampling.seed));
  max_tokens_->setValue(request.options.max_tokens);
  pace_->setValue(static_cast<int>(request.tokens_per_second));
  chat_->setChecked(request.chat_template && chat_->isEnabled());
}

void PromptBar::generate() {
  if (!generate_->isEnabled()) return;
  store_settings();
  QTextCursor cursor = prompt_->textCursor();
  cursor.clearSelection();  // a proposal is selected until it is taken
  prompt_->setTextCursor(cursor);
  Q_EMIT started();
  subject_.generate(request());
}

bool PromptBar::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::ShortcutOverride) {
    // Deleting a word is the text's own: the window has the same keys for the selected expert.
    const auto* key = static_cast<QKeyEvent*>(event);
    const bool deletes = key->key() == Qt::Key_Delete || key->key() == Qt::Key_Backspace;
    if (deletes) {
      event->accept();
      return true;
    }
  }
  if (watched == prompt_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    const bool enter = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    if (enter && !(key->modifiers() & Qt::ShiftModifier)) {
      generate();
      return true;
    }
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace expertscope
