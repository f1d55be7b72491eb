// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/inspector.h"

#include <QGridLayout>
#include <QLabel>
#include <QMenu>
#include <QScrollArea>
#include <QToolButton>
#include <QVBoxLayout>

#include "views/models/design.h"
#include "views/models/expert_numbers.h"
#include "views/models/numbers.h"
#include "views/models/subject.h"
#include "views/models/token_text.h"
#include "views/widgets/elided_label.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/link_label.h"
#include "views/widgets/sparkline.h"
#include "views/widgets/view_context.h"

namespace expertscope {
namespace {

QString row(const QString& name, const QString& value) {
  return QStringLiteral("<tr><td style='padding-right:10px'>%1</td><td>%2</td></tr>").arg(name, value);
}

/// The value at the right edge, where numbers of all rows meet.
QString number_row(const QString& name, const QString& value) {
  return QStringLiteral("<tr><td>%1</td><td align='right'>%2</td></tr>").arg(name, value);
}

const QString kNothing = QStringLiteral("–");
constexpr int kNumberRows = 9;
constexpr int kBeside = 480;             // pixels: from here on lists stand beside each other
constexpr int kWidestNumbers = 320;      // pixels: a name and its number belong together
constexpr qsizetype kLongestToken = 24;  // characters in the table

QLabel* make_label() {
  auto* label = new LinkLabel;
  label->setWordWrap(true);
  label->setTextFormat(Qt::RichText);
  label->setTextInteractionFlags(Qt::TextBrowserInteraction);
  label->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  return label;
}

}  // namespace

Inspector::Inspector(ViewContext& context) : subject_(context.subject) {
  setObjectName(QStringLiteral("inspector"));
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(0);
  rows->addWidget(make_head(context.experts));
  rows->addWidget(make_content(), 1);
  connect(&subject_.selection(), &Selection::cell_changed, this, &Inspector::update_detail);
  connect(&subject_.trace(), &TraceSource::view_changed, this, &Inspector::update_detail);
  connect(&subject_, &Subject::marks_changed, this, &Inspector::update_detail);
  connect(&subject_, &Subject::content_changed, this, &Inspector::update_detail);
  update_detail();
}

QWidget* Inspector::make_content() {
  numbers_ = make_label();
  numbers_->setObjectName(QStringLiteral("inspector_numbers"));
  // As high for every expert, whatever script its token is in: the links below stay in their place.
  numbers_->setWordWrap(false);
  numbers_->setMaximumWidth(kWidestNumbers);
  numbers_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  numbers_->setFixedHeight(kNumberRows * (numbers_->fontMetrics().lineSpacing() + 2) + 4);
  measured_ = make_measured();
  comparison_ = make_label();
  comparison_->setObjectName(QStringLiteral("inspector_comparison"));
  comparison_->hide();
  auto* content = new QWidget;
  auto* layout = new QVBoxLayout(content);
  layout->setContentsMargins(12, 4, 12, 10);
  layout->setSpacing(6);
  layout->addWidget(numbers_);
  layout->addWidget(measured_);
  layout->addWidget(comparison_);
  layout->addStretch(1);
  auto* scroll = new QScrollArea;
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setWidgetResizable(true);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  scroll->setWidget(content);
  return scroll;
}

/// Above everything that varies and beside no scroll bar: the buttons stay where they are, whatever they do.
QWidget* Inspector::make_head(ExpertActions& actions) {
  title_ = new QLabel;
  title_->setObjectName(QStringLiteral("inspector_title"));
  title_->setFont(heading_font(title_->font(), 1.25));
  edits_ = new ElidedLabel;
  edits_->setObjectName(QStringLiteral("inspector_edits"));
  auto* head = new QWidget;
  auto* layout = new QVBoxLayout(head);
  layout->setContentsMargins(12, 8, 12, 0);
  layout->setSpacing(6);
  layout->addWidget(title_);
  layout->addWidget(make_buttons(actions));
  layout->addWidget(edits_);
  return head;
}

QWidget* Inspector::make_measured() {
  load_ = new Sparkline;
  neighbours_ = make_label();
  neighbours_->setObjectName(QStringLiteral("inspector_neighbours"));
  tokens_ = make_label();
  tokens_->setObjectName(QStringLiteral("inspector_tokens"));
  for (QLabel* label : {neighbours_, tokens_}) {
    connect(label, &QLabel::linkActivated, this, &Inspector::follow_link);
  }
  auto* box = new QWidget;
  halves_ = new QBoxLayout(QBoxLayout::TopToBottom, box);
  halves_->setContentsMargins(0, 0, 0, 0);
  halves_->setSpacing(6);
  auto* when = new QVBoxLayout;
  routed_ = {add_heading(*when, tr("Share of tokens over time")), load_};
  when->addWidget(load_);
  routed_.insert(routed_.end(), {add_heading(*when, tr("Neighbours in the ranking")), neighbours_});
  when->addWidget(neighbours_);
  auto* which = new QVBoxLayout;
  tokens_heading_ = add_heading(*which, tr("Tokens with the largest weight"));
  which->addWidget(tokens_);
  // Room that is left over is below, and spreads nothing.
  for (QVBoxLayout* half : {when, which}) {
    half->setSpacing(6);
    half->addStretch(1);
    halves_->addLayout(half, half == when ? 2 : 3);
  }
  return box;
}

/// Beside each other in the wide column of a large window.
void Inspector::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  halves_->setDirection(width() >= kBeside ? QBoxLayout::LeftToRight : QBoxLayout::TopToBottom);
  halves_->setSpacing(width() >= kBeside ? 24 : 6);
}

QWidget* Inspector::make_buttons(ExpertActions& actions) {
  auto* box = new QWidget;
  auto* layout = new QGridLayout(box);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(4);
  const auto add = [&](QAction* action, const QString& text, int line, int column) {
    auto* button = new QToolButton;
    button->setDefaultAction(action);
    button->setText(text);
    button->setObjectName(QStringLiteral("inspector_") + action->objectName());
    button->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    layout->addWidget(button, line, column);
    // The action's own text is longer than a button.
    connect(action, &QAction::changed, button, [button, text] { button->setText(text); });
    return button;
  };
  QToolButton* prune = add(actions.prune(PruneMode::mask), tr("Prune"), 0, 0);
  auto* kinds = new QMenu(prune);
  kinds->addActions(
      {actions.prune(PruneMode::mask), actions.prune(PruneMode::zero), actions.prune(PruneMode::drop)});
  prune->setMenu(kinds);
  prune->setPopupMode(QToolButton::MenuButtonPopup);
  add(actions.reroute(), tr("Reroute…"), 0, 1);
  add(actions.force(), tr("Force"), 0, 2);
  add(actions.boost(), tr("Boost"), 1, 0);
  add(actions.suppress(), tr("Suppress"), 1, 1);
  add(actions.remove(), tr("Clear"), 1, 2);
  return box;
}

QLabel* Inspector::add_heading(QVBoxLayout& layout, const QString& text) {
  auto* label = new QLabel(text);
  label->setFont(heading_font(label->font(), 1));
  label->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);  // it must not widen the column
  layout.addSpacing(6);
  layout.addWidget(label);
  return label;
}

void Inspector::update_detail() {
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
  edits_->set_full_text(cell.is_shared() ? tr("runs for every token: there is nothing to edit")
                                         : subject_.marks().at(cell).lines.join(QStringLiteral(" · ")));
  const auto view = subject_.view();
  std::shared_ptr<const ExpertDetail> detail = view ? view->expert : nullptr;
  // Greyed while what is shown is another expert's and this one's answer is on its way.
  const bool waiting = view && view->run && view->query.cell != cell;
  numbers_->setEnabled(!waiting);
  measured_->setEnabled(!waiting);
  comparison_->setEnabled(!waiting);
  if (waiting) {
    if (!shown_) numbers_->setText(tr("Reading the trace…"));
    return;
  }
  const auto baseline = view ? view->baseline : nullptr;
  if (detail && detail == shown_ && baseline == shown_baseline_) return;
  shown_ = detail;
  shown_baseline_ = baseline;
  measured_->setVisible(detail != nullptr);
  if (!detail) {
    comparison_->hide();
    numbers_->setText(tr("Nothing was measured yet."));
    return;
  }
  show_numbers(*detail);
  const bool routed = !detail->cell.is_shared();
  for (QWidget* widget : routed_) {
    widget->setVisible(routed);
  }
  tokens_heading_->setText(routed ? tr("Tokens with the largest weight")
                                  : tr("Tokens with the largest output"));
  load_->set_values(detail->load_in_time, detail->covered);
  show_neighbours(*detail);
  show_tokens(*detail);
  const QString comparison = baseline_table(detail->cell);
  comparison_->setText(comparison);
  comparison_->setVisible(!comparison.isEmpty());
}

void Inspector::show_numbers(const ExpertDetail& detail) {
  const ExpertStats& stats = detail.stats;
  const bool routed = !detail.cell.is_shared();
  QString rows = number_row(tr("load"), routed ? percent_text(detail.share) : kNothing);
  rows += number_row(routed ? tr("slots") : tr("tokens"), count_text(stats.count));
  rows +=
      number_row(tr("rank by load"), routed ? tr("%1 of %2").arg(detail.rank).arg(detail.experts) : kNothing);
  const bool used = stats.count > 0;
  const bool measured = stats.output_channel >= 0;
  const auto mean = [&](double sum) { return number_text(sum / static_cast<double>(stats.count)); };
  rows += number_row(tr("mean weight"), used && routed ? mean(stats.weight_sum) : kNothing);
  rows += number_row(tr("mean score"), used && routed ? mean(stats.probability_sum) : kNothing);
  rows += number_row(tr("mean output norm"), used && measured ? mean(stats.norm_sum) : kNothing);
  rows += number_row(tr("max |down_proj|"), measured ? number_text(stats.output_max) : kNothing);
  rows += number_row(tr("outlier channel"), measured ? QString::number(stats.output_channel) : kNothing);
  const QString token = visible_token_text(detail.output_token_bytes).left(kLongestToken);
  rows +=
      number_row(tr("at token"),
                 measured ? tr("%1 <b>%2</b>").arg(stats.output_token).arg(token.toHtmlEscaped()) : kNothing);
  numbers_->setText(QStringLiteral("<table width='100%' cellspacing='1'>%1</table>").arg(rows));
}

/// This run, the baseline and the difference, side by side; nothing without a baseline of the same shape.
QString Inspector::baseline_table(Cell cell) const {
  const auto view = subject_.view();
  if (!view || !view->run || !view->baseline || !same_shape(view->run->table, *view->baseline)) return {};
  const auto line = [](const QString& tag, const QStringList& cells) {
    QString html;
    for (qsizetype i = 0; i < cells.size(); ++i) {
      html += QStringLiteral("<%1 align='%2' style='padding-right:10px'>%3</%1>")
                  .arg(tag, i == 0 ? QStringLiteral("left") : QStringLiteral("right"), cells[i]);
    }
    return QStringLiteral("<tr>%1</tr>").arg(html);
  };
  QString rows = line(QStringLiteral("th"), {QString(), tr("run %1").arg(view->run->run.id),
                                             tr("run %1").arg(view->query.baseline), tr("difference")});
  const std::pair<ExpertNumber, QString> numbers[] = {{ExpertNumber::share, tr("load")},
                                                      {ExpertNumber::weight, tr("mean weight")},
                                                      {ExpertNumber::norm, tr("mean norm")},
                                                      {ExpertNumber::output_max, tr("max |down_proj|")}};
  for (const auto& [number, name] : numbers) {
    const double here = expert_number(view->run->table, cell, number);
    const double there = expert_number(*view->baseline, cell, number);
    rows += line(QStringLiteral("td"), {name, format_number(number, here), format_number(number, there),
                                        format_difference(number, here - there)});
  }
  return QStringLiteral("<table cellspacing='1'>%1</table>").arg(rows);
}

void Inspector::show_neighbours(const ExpertDetail& detail) {
  QString rows;
  for (std::size_t i = 0; i < detail.neighbours.size(); ++i) {
    const int expert = detail.neighbours[i];
    const bool self = expert == detail.cell.expert;
    const QString name =
        self ? QStringLiteral("<b>%1</b>").arg(tr("expert %1").arg(expert))
             : QStringLiteral("<a href='expert:%1'>%2</a>").arg(expert).arg(tr("expert %1").arg(expert));
    rows += row(name, percent_text(detail.neighbour_share[i]));
  }
  neighbours_->setText(QStringLiteral("<table cellspacing='1'>%1</table>").arg(rows));
}

void Inspector::show_tokens(const ExpertDetail& detail) {
  if (detail.top.empty()) {
    tokens_->setText(detail.cell.is_shared() ? tr("Not measured.") : tr("No token was routed here."));
    return;
  }
  QString rows;
  for (const RoutedToken& routed : detail.top) {
    const QString text =
        QStringLiteral("%1<a href='token:%4'><b>%2</b></a>%3")
            .arg(running_text(routed.before).right(16).toHtmlEscaped(),
                 visible_token_text(routed.bytes).toHtmlEscaped(),
                 running_text(routed.after).left(14).toHtmlEscaped(), QString::number(routed.token));
    rows += row(number_text(static_cast<double>(detail.cell.is_shared() ? routed.slot.output_max
                                                                        : routed.slot.weight)),
                text);
  }
  tokens_->setText(QStringLiteral("<table cellspacing='1'>%1</table>").arg(rows));
}

void Inspector::follow_link(const QString& link) {
  const qint64 value = link.section(QLatin1Char(':'), 1).toLongLong();
  if (link.startsWith(QLatin1String("expert:"))) {
    subject_.selection().set_cell({subject_.selection().cell().layer, static_cast<int>(value)});
  } else {
    subject_.selection().set_token(value);
  }
}

}  // namespace expertscope
