// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>
#include <memory>
#include <vector>

#include "views/models/trace_view.h"

class QBoxLayout;
class QLabel;
class QVBoxLayout;

namespace expertscope {

class ElidedLabel;
class ExpertActions;
class Sparkline;
class Subject;
struct ViewContext;

/// The selected expert: what can be done to it, its numbers, load over time, neighbours in the ranking, and
/// the tokens routed to it. Its window title names the expert, and is empty while none is selected.
class Inspector final : public QWidget {
  Q_OBJECT
 public:
  explicit Inspector(ViewContext& context);

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  QWidget* make_content();
  QWidget* make_head(ExpertActions& actions);
  QWidget* make_measured();
  QWidget* make_buttons(ExpertActions& actions);
  QLabel* add_heading(QVBoxLayout& layout, const QString& text);
  void update_detail();
  void show_numbers(const ExpertDetail& detail);
  QString baseline_table(Cell cell) const;
  void show_neighbours(const ExpertDetail& detail);
  void show_tokens(const ExpertDetail& detail);
  void follow_link(const QString& link);

  Subject& subject_;
  QLabel* title_ = nullptr;
  ElidedLabel* edits_ = nullptr;  ///< one line, also without edits: what is below must not move
  QLabel* numbers_ = nullptr;
  Sparkline* load_ = nullptr;
  QLabel* neighbours_ = nullptr;
  QLabel* tokens_heading_ = nullptr;
  QLabel* tokens_ = nullptr;
  QBoxLayout* halves_ = nullptr;
  std::vector<QWidget*> routed_;  ///< what a shared expert has not
  QWidget* measured_ = nullptr;   ///< what needs a recorded run
  QLabel* comparison_ = nullptr;  ///< with a baseline; last, so that it moves nothing
  std::shared_ptr<const ExpertDetail> shown_;
  std::shared_ptr<const ExpertTable> shown_baseline_;
};

}  // namespace expertscope
