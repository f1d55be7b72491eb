// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "views/models/engine_controller.h"

class QCheckBox;
class QDoubleSpinBox;
class QPlainTextEdit;
class QPushButton;
class QSpinBox;
class QToolButton;

namespace expertscope {

class Subject;

/// The prompt, how it is run, generate and stop: one row, whose prompt grows with its lines.
class PromptBar final : public QWidget {
  Q_OBJECT
 public:
  explicit PromptBar(Subject& subject, QWidget* parent = nullptr);

  /// What is typed and set now.
  PromptRequest request() const;
  void set_prompt(const QString& prompt);
  /// Types and sets all of it; sampling that has no field here stays as the model proposes.
  void set_request(const PromptRequest& request);
  QPushButton& generate_button() { return *generate_; }
  QPushButton& stop_button() { return *stop_; }
  /// The prompt grows up to this many lines, and six at most.
  void set_most_lines(int lines);
  /// Height of the bar with that many lines of prompt.
  int height_of(int lines) const;
  void focus_prompt();

 public Q_SLOTS:
  void generate();

 Q_SIGNALS:
  /// A generation was asked for.
  void started();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void make_settings();
  void publish();
  void fit_lines();
  int line_frame() const;
  void connect_subject();
  void restore_settings();
  void show_sampling();
  void store_settings() const;
  void update_state();
  void use_model_defaults();

  Subject& subject_;
  SamplingOptions proposed_;  ///< by the open model; what has no field here keeps it
  QPlainTextEdit* prompt_;
  QToolButton* sampling_;
  QPushButton* generate_;
  QPushButton* stop_;
  QDoubleSpinBox* temperature_ = nullptr;
  QSpinBox* top_k_ = nullptr;
  QDoubleSpinBox* top_p_ = nullptr;
  QSpinBox* max_tokens_ = nullptr;
  QSpinBox* pace_ = nullptr;
  QSpinBox* seed_ = nullptr;
  QCheckBox* chat_ = nullptr;
  int most_lines_ = 1;
};

}  // namespace expertscope
