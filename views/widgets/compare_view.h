// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QElapsedTimer>
#include <QWidget>
#include <memory>

#include "views/models/comparison.h"
#include "views/models/engine_controller.h"

class QComboBox;
class QGridLayout;
class QLabel;
class QProgressBar;
class QPushButton;
class QStackedWidget;
class QTextEdit;

namespace expertscope {

class Subject;
struct ViewContext;

/// What the edits do: the same prompt and seed without and with them, side by side, and the perplexity of a
/// text before and after.
class CompareView final : public QWidget {
  Q_OBJECT
 public:
  explicit CompareView(Subject& subject, QWidget* parent = nullptr);
  /// Carries out the command to compare.
  explicit CompareView(ViewContext& context);

  /// The prompt bar's settings with what is chosen here; the edits are the subject's.
  ComparisonRequest request(const PromptRequest& prompt) const;
  /// The text that is scored; empty: none.
  QString text() const;
  void set_text(const QString& file);

 public Q_SLOTS:
  void copy() const;

 Q_SIGNALS:
  /// "Run" was pressed: whoever knows the prompt calls Subject::compare(request(prompt)).
  void run_wanted();

 protected:
  void changeEvent(QEvent* event) override;

 private:
  QWidget* make_tool_bar();
  QWidget* make_progress();
  QWidget* make_result();
  QWidget* make_column(QLabel* heading, QTextEdit* text);
  void connect_subject();
  void fill_texts();
  void choose_text(int index);
  void ask_for_text();
  void update_state();
  void show_progress(const QString& what, double fraction);
  void show_result();
  void show_staleness();

  Subject& subject_;
  QPushButton* run_;
  QPushButton* cancel_;
  QPushButton* copy_;
  QComboBox* texts_;
  QComboBox* protocol_;
  QStackedWidget* pages_;
  QLabel* empty_;
  QWidget* progress_row_ = nullptr;
  QProgressBar* progress_;
  QLabel* progress_text_;
  QLabel* summary_;
  QLabel* numbers_;
  QLabel* stale_;
  QLabel* before_heading_;
  QLabel* after_heading_;
  QTextEdit* before_;
  QTextEdit* after_;
  QElapsedTimer running_;
  int chosen_text_ = 0;  ///< row of texts_, not the row that asks for a file
  std::shared_ptr<const ComparisonResult> shown_;
};

}  // namespace expertscope
