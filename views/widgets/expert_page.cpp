// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/expert_page.h"

#include <QButtonGroup>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLabel>
#include <QResizeEvent>
#include <QScrollArea>
#include <QStyle>
#include <QTableView>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/design.h"
#include "views/models/expert_figures.h"
#include "views/models/numbers.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"
#include "views/widgets/domain_chip.h"
#include "views/widgets/elided_label.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/expert_buttons.h"
#include "views/widgets/expert_charts.h"
#include "views/widgets/expert_html.h"
#include "views/widgets/link_label.h"
#include "views/widgets/sparkline.h"
#include "views/widgets/table_look.h"
#include "views/widgets/view_context.h"

namespace expertscope {
namespace {

constexpr int kWide = 480;                // pixels: from here on parts stand beside each other
constexpr int kControlHeight = 24;        // pixels
constexpr int kFirstFigures = 4;          // those of the compact page
constexpr std::int64_t kStrings = 200;    // that are listed
constexpr int kStringRows = 9;            // that are seen at a time
constexpr int kHiddenColumns = 3;         // layer and expert are the selected ones, an id says nothing
constexpr std::size_t kMostDomains = 12;  // bars
constexpr std::size_t kPartners = 5;
constexpr std::size_t kExamples = 10;
constexpr std::size_t kCompactTokens = 5;
// Ids of the buttons over the tokens.
constexpr int kStrongest = 0;
constexpr int kByDomain = 1;

QLabel* make_rich_label(const char* name) {
  auto* label = new LinkLabel;
  label->setObjectName(QLatin1String(name));
  label->setTextFormat(Qt::RichText);
  label->setTextInteractionFlags(Qt::TextBrowserInteraction);
  label->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  // What is too wide is cut and widens nothing.
  label->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  return label;
}

}  // namespace

ExpertPage::ExpertPage(ViewContext& context)
    : context_(context),
      subject_(context.subject),
      strings_(context.subject),
      domains_(context.subject),
      pairs_(context.subject) {
  setObjectName(QStringLiteral("expert_page"));
  domains_.count_all_domains();
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(0);
  rows->addWidget(make_head());
  rows->addWidget(make_scroll_area(), 1);
  connect_subject();
  arrange();
  update_expert();
}

void ExpertPage::connect_subject() {
  connect(&subject_.selection(), &Selection::cell_changed, this, &ExpertPage::update_expert);
  connect(&subject_.trace(), &TraceSource::view_changed, this, &ExpertPage::update_expert);
  connect(&subject_, &Subject::content_changed, this, &ExpertPage::update_expert);
  connect(&subject_, &Subject::marks_changed, this, &ExpertPage::update_edits);
  connect(&context_.experts, &ExpertActions::page_wanted, this, [this] { context_.raise(this); });
  connect(&strings_, &AnalysisSource::changed, this, [this] {
    show_strings();
    show_figures();
    show_tokens();
  });
  connect(&domains_, &AnalysisSource::changed, this, &ExpertPage::show_domains);
  connect(&pairs_, &AnalysisSource::changed, this, &ExpertPage::show_partners);
  connect(string_table_->selectionModel(), &QItemSelectionModel::currentRowChanged, this,
          &ExpertPage::show_tokens);
  connect(which_tokens_, &QButtonGroup::idClicked, this, &ExpertPage::show_tokens);
  for (QLabel* label : {tokens_, partners_}) {
    connect(label, &QLabel::linkActivated, this, &ExpertPage::follow_link);
  }
}

/// Above everything that varies and beside no scroll bar: the buttons stay where they are, whatever they do.
QWidget* ExpertPage::make_head() {
  title_ = new QLabel;
  title_->setObjectName(QStringLiteral("expert_title"));
  title_->setFont(heading_font(title_->font(), 1.25));
  auto* line = new QHBoxLayout;
  line->addWidget(title_, 1);
  const auto add_step = [&](const char* name, Qt::ArrowType arrow, int by, const QString& tip) {
    auto* button = new QToolButton;
    button->setObjectName(QLatin1String(name));
    button->setArrowType(arrow);
    button->setAutoRaise(true);
    button->setToolTip(tip);
    button->setAccessibleName(tip);
    connect(button, &QToolButton::clicked, this, [this, by] { step(by); });
    line->addWidget(button);
    return button;
  };
  previous_ = add_step("expert_busier", Qt::LeftArrow, -1, tr("The next busier expert of the layer"));
  next_ = add_step("expert_less_busy", Qt::RightArrow, 1, tr("The next less busy expert of the layer"));
  edits_ = new ElidedLabel;
  edits_->setObjectName(QStringLiteral("expert_edits"));
  buttons_ = new ExpertButtons(context_.experts);
  auto* head = new QWidget;
  auto* layout = new QVBoxLayout(head);
  layout->setContentsMargins(12, 8, 12, 0);
  layout->setSpacing(6);
  layout->addLayout(line);
  layout->addWidget(buttons_);
  auto* below = new QWidget;
  below->setFixedHeight(std::max(kControlHeight, fontMetrics().height() + 4));  // also without a chip
  auto* state = new QHBoxLayout(below);
  state->setContentsMargins(0, 0, 0, 0);
  state->addWidget(edits_, 1);
  state->addWidget(new DomainChip(subject_));
  layout->addWidget(below);
  return head;
}

QWidget* ExpertPage::make_scroll_area() {
  figures_ = new QLabel;
  figures_->setObjectName(QStringLiteral("expert_figures"));
  figures_->setTextFormat(Qt::RichText);
  figures_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  figures_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  comparison_ = make_rich_label("expert_comparison");
  make_sections();
  auto* content = new QWidget;
  body_ = new QVBoxLayout(content);
  body_->setContentsMargins(12, 6, 8, 10);
  body_->setSpacing(12);
  body_->addWidget(figures_);
  body_->addWidget(time_.box);
  for (const auto& [left, right] : {std::pair(string_section_.box, domain_section_.box),
                                    std::pair(partner_section_.box, rank_section_.box)}) {
    auto* pair = new QBoxLayout(QBoxLayout::TopToBottom);
    pair->addWidget(left, 1, Qt::AlignTop);
    pair->addWidget(right, 1, Qt::AlignTop);
    body_->addLayout(pair);
    side_by_side_.push_back(pair);
  }
  body_->addWidget(comparison_);
  body_->addStretch(1);
  content->setMinimumWidth(1);  // or what it would like to have makes it wider than what is seen of it
  auto* scroll = new QScrollArea;
  scroll->setObjectName(QStringLiteral("expert_scroll"));
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setWidgetResizable(true);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  scroll->setWidget(content);
  setFocusProxy(scroll);  // whose keys scroll
  return scroll;
}

ExpertPage::Section ExpertPage::make_section(const QString& title, QWidget* what) {
  Section section;
  section.box = new QWidget;
  section.heading = new QLabel(title);
  section.heading->setFont(heading_font(section.heading->font(), 1));
  section.note = new ElidedLabel;
  section.note->setForegroundRole(QPalette::PlaceholderText);
  section.note->setFont(small_font(section.note->font()));
  section.line = new QHBoxLayout;
  section.line->setSpacing(8);
  section.line->addWidget(section.heading);
  section.line->addWidget(section.note, 1);
  auto* rows = new QVBoxLayout(section.box);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(4);
  rows->addLayout(section.line);
  rows->addWidget(what);
  return section;
}

void ExpertPage::make_sections() {
  time_ = make_section(tr("Share of tokens over time"), load_ = new Sparkline);
  string_table_ = new QTableView;
  string_table_->setObjectName(QStringLiteral("expert_strings"));
  string_table_->setAccessibleName(tr("Strings of the selected expert"));
  string_table_->setModel(&string_model_);
  look_like_a_table(*string_table_);
  string_table_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  string_table_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  const int row = string_table_->verticalHeader()->defaultSectionSize();
  string_table_->setFixedHeight(string_table_->horizontalHeader()->sizeHint().height() + kStringRows * row);
  string_section_ = make_section(tr("Frequent strings"), string_table_);
  domain_section_ = make_section(tr("Domains"), bars_ = new DomainBars);
  token_section_ =
      make_section(tr("Tokens with the largest output"), tokens_ = make_rich_label("expert_tokens"));
  which_tokens_ = new QButtonGroup(this);
  const auto add = [this](int id, const char* name, const QString& text, const QString& tip) {
    auto* button = new QToolButton;
    button->setObjectName(QLatin1String(name));
    button->setText(text);
    button->setToolTip(tip);
    button->setCheckable(true);
    button->setChecked(id == kStrongest);
    which_tokens_->addButton(button, id);
    token_section_.line->insertWidget(id, button);
  };
  add(kStrongest, "tokens_strongest", QString(), tr("The tokens with the largest weight"));
  add(kByDomain, "tokens_by_domain", tr("By domain"),
      tr("Where the chosen string has its largest weight in each domain"));
  partner_section_ = make_section(tr("Partners"), partners_ = make_rich_label("expert_partners"));
  rank_section_ = make_section(tr("Rank in the layer"), ranks_ = new RankDots);
}

/// Parts beside each other, or one below the other with the strongest tokens before what has to be searched.
void ExpertPage::arrange() {
  buttons_->set_columns(wide_ ? 6 : 3);
  which_tokens_->button(kStrongest)->setText(wide_ ? tr("Strongest tokens") : tr("Strongest"));
  for (QBoxLayout* pair : side_by_side_) {
    pair->setDirection(wide_ ? QBoxLayout::LeftToRight : QBoxLayout::TopToBottom);
    pair->setSpacing(wide_ ? 24 : 12);
  }
  body_->removeWidget(token_section_.box);
  body_->insertWidget(wide_ ? 3 : 2, token_section_.box);
  const int line = figures_->fontMetrics().lineSpacing();
  arrange_strings();
  figures_->setFixedHeight(wide_ ? 2 * (2 * line + 10) : static_cast<int>(kFirstFigures) * (line + 3) + 2);
}

/// Beside a scroll bar, whether there is one by now or not.
int ExpertPage::room() const {
  const QMargins margins = body_->contentsMargins();
  return width() - margins.left() - margins.right() - style()->pixelMetric(QStyle::PM_ScrollBarExtent);
}

void ExpertPage::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  if (event->size().width() == event->oldSize().width()) return;
  wide_ = event->size().width() >= kWide;
  arrange();
  show_figures();
  show_tokens();
}

void ExpertPage::keyPressEvent(QKeyEvent* event) {
  if (event->key() != Qt::Key_Escape) return QWidget::keyPressEvent(event);
  subject_.selection().set_cell({});
}

void ExpertPage::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  ask();
}

void ExpertPage::hideEvent(QHideEvent* event) {
  QWidget::hideEvent(event);
  for (AnalysisSource* source : {&strings_, &domains_, &pairs_}) {
    source->rest();
  }
}

void ExpertPage::ask() {
  const Cell cell = subject_.selection().cell();
  if (!isVisible() || !cell.valid() || cell.is_shared()) return;
  const std::int64_t layer = cell.layer;
  strings_.ask("strings", {{"layer", layer}, {"expert", std::int64_t{cell.expert}}, {"most", kStrings}});
  domains_.ask("domains", {{"layer", layer}});
  pairs_.ask("coactivation", {{"layer", layer}});
}

void ExpertPage::update_expert() {
  const Cell cell = subject_.selection().cell();
  const bool any = cell.valid() && subject_.expert_table() != nullptr;
  setWindowTitle(!any               ? QString()
                 : cell.is_shared() ? tr("L%1 shared").arg(cell.layer)
                                    : tr("L%1 E%2").arg(cell.layer).arg(cell.expert));
  if (!any) {
    shown_.reset();
    return;
  }
  title_->setText(cell.is_shared() ? tr("Layer %1 · Shared expert").arg(cell.layer)
                                   : tr("Layer %1 · Expert %2").arg(cell.layer).arg(cell.expert));
  update_edits();
  ask();
  const auto view = subject_.view();
  // Greyed while what is shown is another expert's and this one's answer is on its way.
  const bool waiting = view && view->run && view->query.cell != cell;
  for (QWidget* part : {static_cast<QWidget*>(figures_), time_.box, token_section_.box, rank_section_.box}) {
    part->setEnabled(!waiting);
  }
  if (!waiting) show_detail(view ? view->expert : nullptr);
  show_strings();
  show_domains();
  show_partners();
}

void ExpertPage::update_edits() {
  const Cell cell = subject_.selection().cell();
  if (!cell.valid()) return;
  QStringList lines;
  const auto view = subject_.view();
  if (view && view->run) {
    const std::vector<Cell> super = super_cells(*view->run);
    const bool is_super = std::find(super.begin(), super.end(), cell) != super.end();
    if (is_super) lines << tr("▲ super expert");
  }
  if (cell.is_shared()) {
    lines << tr("runs for every token: there is nothing to edit");
  } else {
    lines << subject_.marks().at(cell).lines;
  }
  edits_->set_full_text(lines.join(QStringLiteral(" · ")));
}

void ExpertPage::show_detail(std::shared_ptr<const ExpertDetail> detail) {
  const auto view = subject_.view();
  const auto baseline = view ? view->baseline : nullptr;
  if (detail && detail == shown_ && baseline == shown_baseline_) return;
  shown_ = std::move(detail);
  shown_baseline_ = baseline;
  const bool routed = shown_ && !shown_->cell.is_shared();
  time_.box->setVisible(routed);
  rank_section_.box->setVisible(routed);
  token_section_.box->setVisible(shown_ != nullptr);
  show_figures();
  show_tokens();
  comparison_->setVisible(shown_ && baseline);
  if (!shown_) return;
  if (baseline) {
    comparison_->setText(comparison_html(view->run->table, *baseline, shown_->cell,
                                         tr("run %1").arg(view->run->run.id),
                                         tr("run %1").arg(view->query.baseline)));
  }
  if (!routed) return;
  load_->set_values(shown_->load_in_time, shown_->covered);
  show_ranks();
  const auto self = std::find(shown_->neighbours.begin(), shown_->neighbours.end(), shown_->cell.expert);
  previous_->setEnabled(self != shown_->neighbours.begin());
  next_->setEnabled(self != shown_->neighbours.end() && self + 1 != shown_->neighbours.end());
}

void ExpertPage::show_ranks() {
  std::vector<RankDots::Dot> dots;
  for (const Rank& rank : ranks_in_layer(*subject_.expert_table(), shown_->cell)) {
    dots.push_back({rank.name, rank.standing.rank, rank.standing.of});
  }
  rank_section_.note->set_full_text(tr("of %1").arg(shown_->experts));
  ranks_->set_dots(std::move(dots));
}

void ExpertPage::show_figures() {
  const auto table = subject_.expert_table();
  if (!shown_ || !table) {
    figures_->setText(tr("Nothing was measured yet."));
    figures_->setToolTip({});
    return;
  }
  std::vector<KeyFigure> figures = key_figures(*table, shown_->cell);
  const auto found = strings_.is_current() ? strings_.result() : nullptr;
  if (const Table* summary = found ? found->find("experts") : nullptr; summary != nullptr) {
    const Column& known = *summary->find("known_from_token");
    if (summary->rows() == 1 && known.has(0))
      figures.push_back({tr("known from token"), column_text(known, 0), {}, {}, column_details(known, 0)});
  }
  figures_->setText(wide_ ? figures_grid(figures, palette())
                          : figures_column(figures, static_cast<std::size_t>(kFirstFigures), room(),
                                           figures_->font(), palette()));
  QString details;
  for (const KeyFigure& figure : figures) {
    const QString digits = figure.details.isEmpty() ? figure.value + u' ' + figure.of : figure.details;
    details +=
        QStringLiteral("<tr><td>%1&nbsp;&nbsp;</td><td align='right'>%2</td></tr>").arg(figure.name, digits);
  }
  figures_->setToolTip(QStringLiteral("<table>%1</table>").arg(details));
}

void ExpertPage::show_strings() {
  const auto result = strings_.result();
  const bool routed = shown_ && !shown_->cell.is_shared();
  const Table* table = routed && result ? result->find("strings") : nullptr;
  const bool any = table != nullptr && table->rows() > 0;
  string_section_.box->setVisible(any);
  string_section_.box->setEnabled(strings_.is_current());
  if (table == string_model_.table()) return;
  string_model_.set_table(result, table);
  arrange_strings();
  string_table_->scrollToTop();
  if (any)
    string_section_.note->set_full_text(table->rows() == kStrings ? tr("the first %1").arg(kStrings)
                                                                  : QString());
}

void ExpertPage::arrange_strings() {
  for (int column = 0; column < string_model_.columnCount(); ++column) {
    // The weight, which is the last, where there is room.
    const bool hidden = column < kHiddenColumns || (!wide_ && column + 1 == string_model_.columnCount());
    string_table_->setColumnHidden(column, hidden);
    string_table_->horizontalHeader()->setSectionResizeMode(
        column, column == kHiddenColumns ? QHeaderView::Stretch : QHeaderView::ResizeToContents);
  }
}

void ExpertPage::show_domains() {
  const auto result = domains_.result();
  const Table* table = shown_ && !shown_->cell.is_shared() && result ? result->find("experts") : nullptr;
  const bool any = table != nullptr && domains_.is_current();
  domain_section_.box->setVisible(table != nullptr);
  domain_section_.box->setEnabled(any);
  if (!any) return;
  const double even = 1.0 / shown_->experts;
  domain_section_.note->set_full_text(tr("of each, even %1").arg(percent_text(even)));
  bars_->set_bars(domain_bars(*table, shown_->cell, kMostDomains), even);
}

void ExpertPage::show_partners() {
  const auto result = pairs_.result();
  const Table* table = shown_ && !shown_->cell.is_shared() && result ? result->find("pairs") : nullptr;
  const bool any = table != nullptr && pairs_.is_current();
  partner_section_.box->setVisible(table != nullptr);
  partner_section_.box->setEnabled(any);
  if (!any) return;
  const std::vector<PartnerLine> lines = partners_of(*table, shown_->cell, kPartners);
  partner_section_.note->set_full_text(tr("% of its tokens, lift"));
  partners_->setText(lines.empty() ? tr("None was selected with it.") : partner_lines(lines));
}

void ExpertPage::show_tokens() {
  const bool by_domain = which_tokens_->checkedId() == kByDomain;
  const auto found = strings_.is_current() ? strings_.result() : nullptr;
  const Table* table = found ? found->find("examples") : nullptr;
  const bool routed = shown_ && !shown_->cell.is_shared();
  for (QAbstractButton* button : which_tokens_->buttons()) {
    button->setVisible(routed);
  }
  token_section_.heading->setVisible(!routed);  // the buttons say it
  if (!shown_) return;
  const std::vector<TokenLine> lines =
      by_domain && routed ? (table != nullptr ? examples(*table) : std::vector<TokenLine>()) : strongest();
  const QString none = by_domain && table == nullptr ? QString()
                       : routed                      ? tr("No token was routed here.")
                                                     : tr("Not measured.");
  // As high for every expert, whatever script its tokens are in: what is below stays in its place.
  const std::size_t rows = wide_ || by_domain ? kExamples : kCompactTokens;
  tokens_->setFixedHeight(static_cast<int>(rows) * (tokens_->fontMetrics().lineSpacing() + 2) + 2);
  tokens_->setText(lines.empty() ? none : token_lines(lines, room(), tokens_->font(), palette()));
}

std::vector<TokenLine> ExpertPage::strongest() const {
  std::vector<TokenLine> lines;
  for (const RoutedToken& routed : shown_->top) {
    if (lines.size() == (wide_ ? kExamples : kCompactTokens)) break;
    const float number = shown_->cell.is_shared() ? routed.slot.output_max : routed.slot.weight;
    lines.push_back(
        {static_cast<double>(number), routed.token, {}, routed.before, routed.bytes, routed.after});
  }
  return lines;
}

/// Of the chosen string, else of the most frequent one.
std::vector<TokenLine> ExpertPage::examples(const Table& table) const {
  const Table* strings = string_model_.table();
  if (strings == nullptr || strings->rows() == 0) return {};
  const auto chosen = static_cast<std::size_t>(std::max(0, string_table_->currentIndex().row()));
  const std::int64_t id = strings->find("token_id")->integer(chosen);
  return examples_of(table, id, kExamples);
}

void ExpertPage::step(int by) {
  const Cell cell = subject_.selection().cell();
  if (!shown_ || shown_->cell != cell) return;
  const auto self = std::find(shown_->neighbours.begin(), shown_->neighbours.end(), cell.expert);
  if (self == shown_->neighbours.end()) return;
  const auto at = self - shown_->neighbours.begin() + by;
  if (at < 0 || at >= static_cast<std::ptrdiff_t>(shown_->neighbours.size())) return;
  subject_.selection().set_cell({cell.layer, shown_->neighbours[static_cast<std::size_t>(at)]});
}

void ExpertPage::follow_link(const QString& link) {
  const qint64 value = link.section(QLatin1Char(':'), 1).toLongLong();
  if (link.startsWith(QLatin1String("expert:"))) {
    subject_.selection().set_cell({subject_.selection().cell().layer, static_cast<int>(value)});
  } else {
    subject_.selection().set_token(value);
  }
}

}  // namespace expertscope
