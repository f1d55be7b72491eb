// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>
#include <memory>
#include <vector>

#include "views/models/analysis_source.h"
#include "views/models/analysis_table_model.h"
#include "views/models/trace_view.h"
#include "views/widgets/expert_html.h"

class QBoxLayout;
class QButtonGroup;
class QHBoxLayout;
class QLabel;
class QTableView;
class QToolButton;
class QVBoxLayout;

namespace expertscope {

class DomainBars;
class ElidedLabel;
class ExpertButtons;
class RankDots;
class Sparkline;
struct ViewContext;

/// All about the selected expert: what can be done to it, its key figures, when it runs, for which strings
/// and domains, its strongest tokens in their text, and which experts are selected with it. Parts stand
/// beside each other where there is room; one that no analysis can fill is not there. Its window title is
/// that of the expert.
class ExpertPage final : public QWidget {
  Q_OBJECT
 public:
  explicit ExpertPage(ViewContext& context);

 protected:
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  /// A heading with a note beside it, over what it is about.
  struct Section {
    QWidget* box = nullptr;
    QHBoxLayout* line = nullptr;  ///< of the heading
    QLabel* heading = nullptr;
    ElidedLabel* note = nullptr;
  };
  static Section make_section(const QString& title, QWidget* what);
  QWidget* make_head();
  QWidget* make_scroll_area();
  void make_sections();
  void connect_subject();
  void arrange();
  int room() const;

  void ask();
  void update_expert();
  void update_edits();
  void show_detail(std::shared_ptr<const ExpertDetail> detail);
  void show_figures();
  void show_ranks();
  void show_strings();
  void arrange_strings();
  void show_domains();
  void show_partners();
  void show_tokens();
  std::vector<TokenLine> strongest() const;
  std::vector<TokenLine> examples(const Table& table) const;
  void step(int by);
  void follow_link(const QString& link);

  ViewContext& context_;
  Subject& subject_;
  AnalysisSource strings_;
  AnalysisSource domains_;
  AnalysisSource pairs_;
  AnalysisTableModel string_model_;

  QLabel* title_ = nullptr;
  QToolButton* previous_ = nullptr;
  QToolButton* next_ = nullptr;
  ExpertButtons* buttons_ = nullptr;
  ElidedLabel* edits_ = nullptr;  ///< one line, also without edits: what is below must not move
  QVBoxLayout* body_ = nullptr;
  std::vector<QBoxLayout*> side_by_side_;
  QLabel* figures_ = nullptr;
  Section time_;
  Sparkline* load_ = nullptr;
  Section string_section_;
  QTableView* string_table_ = nullptr;
  Section domain_section_;
  DomainBars* bars_ = nullptr;
  Section token_section_;
  QButtonGroup* which_tokens_ = nullptr;
  QLabel* tokens_ = nullptr;
  Section partner_section_;
  QLabel* partners_ = nullptr;
  Section rank_section_;
  RankDots* ranks_ = nullptr;
  QLabel* comparison_ = nullptr;  ///< with a baseline; last, so that it moves nothing
  bool wide_ = false;             ///< parts stand beside each other
  std::shared_ptr<const ExpertDetail> shown_;
  std::shared_ptr<const ExpertTable> shown_baseline_;
};

}  // namespace expertscope
