// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/engine_controller.h"

class QCheckBox;
class QDoubleSpinBox;
class QPlainTextEdit;
class QPushButton;
class QSpinBox;

namespace expertscope {

class ElidedLabel;
class Workspace;

/// Prompt, generate and stop, sampling settings, tokens per second.
class PromptBar final : public QWidget {
  Q_OBJECT
 public:
  explicit PromptBar(Workspace& workspace, QWidget* parent = nullptr);

  /// What is typed and set now.
  PromptRequest request() const;
  void set_prompt(const QString& prompt);
  QPushButton& generate_button() { return *generate_; }
  QPushButton& stop_button() { return *stop_; }
  /// Two lines of prompt: what is left over belongs to the text above.
  QSize sizeHint() const override;

 public Q_SLOTS:
  void generate();

 Q_SIGNALS:
  /// A generation was asked for.
  void started();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  QWidget* make_settings();
  void connect_workspace();
  void restore_settings();
  void show_sampling();
  void store_settings() const;
  void update_state();
  void use_model_defaults();

  Workspace& workspace_;
  SamplingOptions proposed_;  ///< by the open model; what has no field here keeps it
  QPlainTextEdit* prompt_;
  QPushButton* generate_;
  QPushButton* stop_;
  QDoubleSpinBox* temperature_ = nullptr;
  QSpinBox* top_k_ = nullptr;
  QDoubleSpinBox* top_p_ = nullptr;
  QSpinBox* max_tokens_ = nullptr;
  QSpinBox* pace_ = nullptr;
  QSpinBox* seed_ = nullptr;
  QCheckBox* chat_ = nullptr;
  ElidedLabel* rate_ = nullptr;
};

}  // namespace expertscope
