// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/prompt_bar.h"

#include <QCheckBox>
#include <QDoubleSpinBox>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>
#include <cmath>

#include "engine/text/chat_template.h"
#include "views/models/plain_text.h"
#include "views/models/workspace.h"
#include "views/widgets/decimal_spin_box.h"
#include "views/widgets/elided_label.h"
#include "views/widgets/keep_focus.h"

namespace expertscope {
namespace {

const QString kSettings = QStringLiteral("prompt/");
constexpr int kDefaultPace = 20;  // tokens a second: a person can read along
const QString kDefaultPrompt = QStringLiteral("In the beginning");

}  // namespace

PromptBar::PromptBar(Workspace& workspace, QWidget* parent)
    : QWidget(parent),
      workspace_(workspace),
      prompt_(new QPlainTextEdit),
      generate_(new QPushButton(tr("Generate"))),
      stop_(new QPushButton(tr("Stop"))) {
  prompt_->setObjectName(QStringLiteral("prompt"));
  prompt_->setPlaceholderText(tr("Prompt"));
  prompt_->setAccessibleName(tr("Prompt"));
  prompt_->setTabChangesFocus(true);
  prompt_->setMinimumHeight(prompt_->fontMetrics().lineSpacing() + 14);
  prompt_->installEventFilter(this);
  generate_->setObjectName(QStringLiteral("generate"));
  generate_->setToolTip(tr("Run the prompt and record the routing (Enter; Shift+Enter begins a new line)"));
  stop_->setObjectName(QStringLiteral("stop"));
  stop_->setToolTip(tr("Stop after the token that is being computed (Ctrl+.)"));
  auto* layout = new QGridLayout(this);
  layout->setContentsMargins(8, 4, 8, 4);
  layout->setHorizontalSpacing(8);
  layout->setVerticalSpacing(4);
  layout->addWidget(prompt_, 0, 0);
  layout->addWidget(generate_, 0, 1, Qt::AlignTop);
  layout->addWidget(stop_, 0, 2, Qt::AlignTop);
  layout->addWidget(make_settings(), 1, 0, 1, 3);
  layout->setColumnStretch(0, 1);
  layout->setRowStretch(0, 1);
  for (QAbstractSpinBox* field : findChildren<QAbstractSpinBox*>()) {
    field->installEventFilter(this);
  }
  restore_settings();
  connect_workspace();
  update_state();
}

QWidget* PromptBar::make_settings() {
  auto* row = new QWidget;
  auto* layout = new QHBoxLayout(row);
  layout->setContentsMargins(0, 0, 0, 0);
  const auto add = [layout](const QString& name, QWidget* widget, const QString& tip) {
    auto* label = new QLabel(name);
    label->setBuddy(widget);
    widget->setToolTip(tip);
    widget->setAccessibleName(tip);
    layout->addWidget(label);
    layout->addWidget(widget);
    layout->addSpacing(8);
  };
  temperature_ = new DecimalSpinBox;
  temperature_->setObjectName(QStringLiteral("temperature"));
  temperature_->setRange(0, 5);
  temperature_->setSingleStep(0.1);
  add(tr("T"), temperature_, tr("Temperature; 0 is greedy: always the most probable token"));
  top_k_ = new QSpinBox;
  top_k_->setObjectName(QStringLiteral("top_k"));
  top_k_->setRange(0, 999);
  top_k_->setSpecialValueText(tr("off"));
  add(tr("top-k"), top_k_, tr("Sample from this many of the most probable tokens"));
  top_p_ = new DecimalSpinBox;
  top_p_->setRange(0.01, 1);
  top_p_->setSingleStep(0.05);
  add(tr("top-p"), top_p_,
      tr("Sample from the most probable tokens that reach this probability together; 1 is off"));
  seed_ = new QSpinBox;
  seed_->setObjectName(QStringLiteral("seed"));
  seed_->setRange(0, 999999);
  add(tr("seed"), seed_, tr("The same seed gives the same text"));
  max_tokens_ = new QSpinBox;
  max_tokens_->setObjectName(QStringLiteral("max_tokens"));
  max_tokens_->setRange(1, 4096);
  add(tr("tokens"), max_tokens_, tr("Most tokens to generate"));
  pace_ = new QSpinBox;
  pace_->setObjectName(QStringLiteral("pace"));
  pace_->setRange(0, 1000);
  pace_->setSuffix(tr(" /s"));
  pace_->setSpecialValueText(tr("full"));
  add(tr("pace"), pace_,
      tr("At most this many tokens a second, so that a small model can be watched and edited; full: as fast "
         "as it runs"));
  chat_ = new QCheckBox(tr("chat template"));
  chat_->setObjectName(QStringLiteral("chat_template"));
  layout->addWidget(chat_);
  // It takes what is left: nothing beside it moves when numbers appear.
  rate_ = new ElidedLabel;
  rate_->setObjectName(QStringLiteral("rate"));
  rate_->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
  layout->addWidget(rate_, 1);
  return row;
}

void PromptBar::connect_workspace() {
  EngineController& engine = workspace_.engine();
  connect(generate_, &QPushButton::clicked, this, &PromptBar::generate);
  connect(stop_, &QPushButton::clicked, &engine, &EngineController::stop);
  connect(&engine, &EngineController::state_changed, this, &PromptBar::update_state);
  connect(&engine, &EngineController::model_opened, this, [this] {
    use_model_defaults();
    rate_->set_full_text({});
    update_state();
    prompt_->setFocus();
    prompt_->selectAll();  // a proposal: typing replaces it
  });
  connect(&engine, &EngineController::text_generated, this, [this](const QString&, int tokens, double rate) {
    const QString text =
        pace_->value() > 0 ? tr("%1 tokens  ·  engine %2 tokens/s") : tr("%1 tokens  ·  %2 tokens/s");
    rate_->set_full_text(text.arg(tokens).arg(rate, 0, 'f', rate < 10 ? 1 : 0));
    rate_->setToolTip(
        tr("What the engine reaches; the pause after each token that keeps the pace is not counted"));
  });
  connect(&engine, &EngineController::generation_finished, this, [this](const GenerateResult& result) {
    if (result.ids.empty()) rate_->clear();  // of a prompt that was refused nothing is being read any more
  });
  connect(prompt_, &QPlainTextEdit::textChanged, this, &PromptBar::update_state);
}

void PromptBar::restore_settings() {
  QSettings& settings = workspace_.settings();
  show_sampling();
  seed_->setValue(settings.value(kSettings + "seed", 1).toInt());
  max_tokens_->setValue(settings.value(kSettings + "max_tokens", 128).toInt());
  pace_->setValue(settings.value(kSettings + "pace", kDefaultPace).toInt());
  prompt_->setPlainText(settings.value(kSettings + "text", kDefaultPrompt).toString());
}

void PromptBar::show_sampling() {
  const QSettings& settings = workspace_.settings();
  temperature_->setValue(settings.value(kSettings + "temperature", proposed_.temperature).toDouble());
  top_k_->setValue(settings.value(kSettings + "top_k", proposed_.top_k).toInt());
  top_p_->setValue(settings.value(kSettings + "top_p", proposed_.top_p).toDouble());
}

void PromptBar::store_settings() const {
  QSettings& settings = workspace_.settings();
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
  const Model& model = *workspace_.engine().model();
  const bool has_template = model.chat_template() != nullptr;
  chat_->setEnabled(has_template);
  chat_->setChecked(false);
  chat_->setToolTip(has_template ? tr("Wrap the prompt as a user's turn, with the model's chat template")
                                 : visible(model.require_chat_template().error().message));
  max_tokens_->setMaximum(workspace_.engine().max_context());
  proposed_ = proposed_sampling(model.config().generation);
  show_sampling();
}

void PromptBar::update_state() {
  const EngineState state = workspace_.engine().state();
  // Back to the prompt, where the next run begins, and not on to the temperature, which keys would change.
  set_enabled(*generate_, workspace_.engine().can_run() && !prompt_->toPlainText().isEmpty(), *prompt_);
  set_enabled(*stop_, state == EngineState::generating || state == EngineState::comparing, *prompt_);
  setEnabled(state != EngineState::no_model);
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

QSize PromptBar::sizeHint() const {
  return {QWidget::sizeHint().width(), minimumSizeHint().height() + prompt_->fontMetrics().lineSpacing()};
}

void PromptBar::set_prompt(const QString& prompt) {
  prompt_->setPlainText(prompt);
}

void PromptBar::generate() {
  if (!generate_->isEnabled()) return;
  store_settings();
  rate_->set_full_text(tr("reading the prompt"));
  QTextCursor cursor = prompt_->textCursor();
  cursor.clearSelection();  // a proposal is selected until it is taken
  prompt_->setTextCursor(cursor);
  Q_EMIT started();
  workspace_.generate(request());
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
