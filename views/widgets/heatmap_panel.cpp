// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/heatmap_panel.h"

#include <QClipboard>
#include <QComboBox>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QMenu>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/expert_numbers.h"
#include "views/models/numbers.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"
#include "views/widgets/commands.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/view_bar.h"
#include "views/widgets/view_context.h"
#include "views/widgets/warning_label.h"

namespace expertscope {
namespace {

const QString kMetricKey = QStringLiteral("map/metric");
const QString kLogKey = QStringLiteral("map/logarithmic");

QString row(const QString& name, const QString& value) {
  return QStringLiteral("<tr><td>%1&nbsp;&nbsp;</td><td align='right'>%2</td></tr>").arg(name, value);
}

/// Rank by load in its layer, from 1.
int load_rank(const ExpertTable& table, Cell cell) {
  const std::int64_t own = table.at(cell.layer, cell.expert).count;
  int rank = 1;
  for (int expert = 0; expert < table.experts; ++expert) {
    const std::int64_t other = table.at(cell.layer, expert).count;
    rank += other > own || (other == own && expert < cell.expert) ? 1 : 0;
  }
  return rank;
}

/// "other prompt, other length".
QString difference_names(const std::vector<RunDifference>& differences) {
  QStringList names;
  for (const RunDifference& difference : differences) {
    names << QObject::tr("other %1").arg(QString::fromStdString(difference.what));
  }
  return names.join(QStringLiteral(", "));
}

}  // namespace

HeatmapPanel::HeatmapPanel(ViewContext& context)
    : context_(context), subject_(context.subject), source_(context.subject), map_(new HeatmapView) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(make_tool_bar());
  layout->addWidget(map_, 1);
  map_->set_tooltip([this](Cell cell) { return tooltip(cell); });
  map_->set_logarithmic(scale_->currentData().toBool());
  connect_subject();
  connect_commands();
  choose_metric(metric_->currentIndex());
  source_.update();
}

void HeatmapPanel::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  source_.set_visible(true);
  update_hint();
}

void HeatmapPanel::hideEvent(QHideEvent* event) {
  QWidget::hideEvent(event);
  source_.set_visible(false);
}

QWidget* HeatmapPanel::make_tool_bar() {
  auto* bar = new ViewBar;
  metric_ = new QComboBox;
  metric_->setObjectName(QStringLiteral("metric"));
  metric_->setAccessibleName(tr("Metric of the routing map"));
  for (const MapMetric& metric : map_metrics()) {
    metric_->addItem(metric.name, metric.id());
    metric_->setItemData(metric_->count() - 1, metric.explanation(), Qt::ToolTipRole);
  }
  metric_->insertSeparator(kMetricsWithKeys);
  metric_->setCurrentIndex(std::max(0, metric_->findData(subject_.settings().value(kMetricKey).toString())));
  scale_ = new QComboBox;
  scale_->setObjectName(QStringLiteral("scale"));
  scale_->setAccessibleName(tr("Colour scale"));
  scale_->setToolTip(tr("How values become colours; a difference is logarithmic on both sides of 0"));
  scale_->addItem(tr("log scale"), true);
  scale_->addItem(tr("linear scale"), false);
  scale_->setCurrentIndex(subject_.settings().value(kLogKey, true).toBool() ? 0 : 1);
  baseline_ = new QComboBox;
  baseline_->setObjectName(QStringLiteral("baseline"));
  baseline_->setAccessibleName(tr("Baseline run"));
  baseline_->setToolTip(tr("Show the signed difference to another run of this trace"));
  baseline_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  warning_ = new WarningLabel;
  warning_->setObjectName(QStringLiteral("baseline_warning"));
  bar->add(metric_);
  bar->add(scale_);
  bar->add_separator();
  domain_ = new QComboBox;
  domain_->setObjectName(QStringLiteral("domain_filter"));
  domain_->setAccessibleName(tr("Domain whose tokens count"));
  domain_->setToolTip(tr("Let only the tokens of one domain count, in every view"));
  domain_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  bar->add(domain_);
  // What comes, goes or is as wide as its text stands behind what is clicked.
  bar->add(baseline_);
  bar->add(warning_);
  bar->add_stretch();
  bar->add(bar->make_button(*context_.commands.fit, tr("Fit")));
  bar->add(bar->make_button(*context_.commands.export_picture, tr("Export…")));
  connect(metric_, &QComboBox::currentIndexChanged, this, &HeatmapPanel::choose_metric);
  connect(scale_, &QComboBox::currentIndexChanged, this, [this] {
    const bool logarithmic = scale_->currentData().toBool();
    subject_.settings().setValue(kLogKey, logarithmic);
    map_->set_logarithmic(logarithmic);
  });
  return bar;
}

void HeatmapPanel::connect_commands() {
  const Commands& commands = context_.commands;
  for (QAction* action : commands.metrics) {
    connect(action, &QAction::triggered, this,
            [this, action] { metric_->setCurrentIndex(metric_->findData(action->data())); });
  }
  connect(commands.zoom_in, &QAction::triggered, map_, &HeatmapView::zoom_in);
  connect(commands.zoom_out, &QAction::triggered, map_, &HeatmapView::zoom_out);
  connect(commands.fit, &QAction::triggered, map_, &HeatmapView::fit);
  connect(commands.copy_picture, &QAction::triggered, this, [this] {
    QGuiApplication::clipboard()->setImage(map_->figure(2));
    context_.notify(tr("The map is on the clipboard."));
  });
  connect(commands.export_picture, &QAction::triggered, this, [this] {
    context_.save_picture([map = map_](const QString& suffix) { return map->figure_file(suffix); });
  });
  connect(&context_.experts, &ExpertActions::pick_wanted, this, [this] {
    context_.raise(this);
    map_->pick_reroute_target(subject_.selection().cell());
  });
  connect(map_, &HeatmapView::menu_requested, this,
          [this](Cell, const QPoint& global) { show_menu(global); });
  connect(map_, &HeatmapView::cell_opened, &context_.experts, &ExpertActions::open_page);
  connect(map_, &HeatmapView::reroute_picked, &context_.experts, [this](Cell source, int target) {
    context_.experts.reroute_to(source.layer, source.expert, target);
  });
}

void HeatmapPanel::show_menu(const QPoint& global) {
  auto* menu = new QMenu(this);
  menu->setObjectName(QStringLiteral("cell_menu"));
  menu->setAttribute(Qt::WA_DeleteOnClose);
  context_.experts.fill_menu(*menu);
  menu->popup(global);
}

void HeatmapPanel::connect_subject() {
  Selection& selection = subject_.selection();
  connect(&source_, &MapSource::changed, this, &HeatmapPanel::show_map);
  connect(map_, &HeatmapView::cell_selected, &selection, &Selection::set_cell);
  connect(&selection, &Selection::cell_changed, map_, &HeatmapView::set_selected);
  connect(&selection, &Selection::cell_changed, this, &HeatmapPanel::update_reading);
  connect(map_, &HeatmapView::cell_hovered, this,
          [this](Cell cell) { update_reading(cell.valid() ? cell : subject_.selection().cell()); });
  connect(&subject_.trace(), &TraceSource::view_changed, this, [this] {
    update_baselines();
    update_domains();
    source_.update();
    update_super_cells();
    update_figure();
    update_warning();
    update_token_cells();
  });
  connect(&selection, &Selection::token_changed, this, &HeatmapPanel::update_token_cells);
  connect(&subject_, &Subject::content_changed, this, [this] {
    map_->end_pick();
    map_->set_data(nullptr);
    map_->fit();
    update_baselines();
    source_.update();
    update_super_cells();
    update_figure();
    update_warning();
    update_hint();
  });
  connect(&subject_, &Subject::marks_changed, this, [this] {
    map_->end_pick();
    map_->set_marks(subject_.marks());
  });
  connect(&subject_.engine(), &EngineController::state_changed, this, &HeatmapPanel::update_hint);
  connect(baseline_, &QComboBox::activated, this,
          [this](int index) { subject_.selection().set_baseline(baseline_->itemData(index).toLongLong()); });
  connect(domain_, &QComboBox::activated, this, [this](int index) {
    subject_.selection().set_domain(domain_->itemData(index).toString().toStdString());
  });
  connect(&selection, &Selection::domain_changed, this, &HeatmapPanel::update_domains);
  update_baselines();
  update_domains();
}

/// The domains of the run; nothing to choose where there are none.
void HeatmapPanel::update_domains() {
  QStringList names{QString()};
  const auto view = subject_.view();
  for (const std::string& domain : view && view->run ? view->run->domains : std::vector<std::string>()) {
    names << QString::fromStdString(domain);
  }
  QStringList present;
  for (int i = 0; i < domain_->count(); ++i) {
    present << domain_->itemData(i).toString();
  }
  if (present != names) {
    domain_->clear();
    for (const QString& name : names) {
      domain_->addItem(name.isEmpty() ? tr("all domains") : visible(name), name);
    }
  }
  domain_->setCurrentIndex(
      std::max(0, domain_->findData(QString::fromStdString(subject_.selection().domain()))));
  domain_->setVisible(names.size() > 2);
}

void HeatmapPanel::choose_metric(int index) {
  const QVariant id = metric_->itemData(index);
  const auto& metrics = map_metrics();
  const auto metric = std::find_if(metrics.begin(), metrics.end(),
                                   [&](const MapMetric& each) { return each.id() == id.toString(); });
  if (metric == metrics.end()) return;
  subject_.settings().setValue(kMetricKey, id);
  metric_->setToolTip(metric->explanation());
  for (QAction* action : context_.commands.metrics) {
    action->setChecked(action->data() == id);
  }
  source_.set_metric(*metric);
}

void HeatmapPanel::show_map() {
  map_->set_data(source_.map());
  update_hint();
  update_figure();
  const Cell hovered = map_->scene().hovered.value_or(Cell{});
  update_reading(hovered.valid() ? hovered : subject_.selection().cell());
}

void HeatmapPanel::update_figure() {
  const auto view = subject_.view();
  if (!view || !view->run) {
    map_->set_figure({}, shown_metric().name);
    return;
  }
  const RunInfo& run = view->run->run;
  QString caption = tr("%1 · run %2 of %3, %4 tokens")
                        // In one go: a name may contain "%1" itself.
                        .arg(shown_metric().name, QString::number(run.id), visible(run.model.name),
                             QString::number(view->run->table.tokens));
  if (!view->query.domain.empty()) caption += tr(" · domain %1").arg(visible(view->query.domain));
  const auto shown = map_->scene().data;
  if (shown && shown->difference) {
    caption += tr(" · minus run %1").arg(view->query.baseline);
    if (!view->differences.empty()) caption += tr(" (%1)").arg(difference_names(view->differences));
  }
  map_->set_figure(subject_.run_marks(), caption);
}

void HeatmapPanel::update_super_cells() {
  const auto view = subject_.view();
  map_->set_super_cells(view && view->run ? super_cells(*view->run) : std::vector<Cell>());
}

void HeatmapPanel::update_token_cells() {
  std::vector<Cell> cells;
  const auto view = subject_.view();
  if (view && view->token && view->token->token.index == subject_.selection().token()) {
    for (const SlotRow& slot : view->token->slots) {
      cells.push_back({slot.layer, slot.expert});
    }
  }
  map_->set_token_cells(std::move(cells));
}

void HeatmapPanel::update_hint() {
  if (const QString reason = source_.reason(); !reason.isEmpty()) {
    map_->set_hint(reason);
  } else if (subject_.content() == Subject::Content::trace) {
    map_->set_hint(tr("This run has no measurements"));
  } else if (subject_.engine().state() == EngineState::generating) {
    map_->set_hint({});
  } else {
    map_->set_hint(tr("Type a prompt below and press Generate: the map fills while tokens appear"));
  }
}

void HeatmapPanel::update_baselines() {
  const std::int64_t chosen = subject_.selection().baseline();
  const std::int64_t shown = subject_.view() && subject_.view()->run ? subject_.view()->run->run.id : 0;
  QStringList labels{tr("no baseline")};
  QVariantList runs{0};
  if (const auto view = subject_.view()) {
    for (const RunInfo& run : *view->runs) {
      if (run.id == shown) continue;
      labels << tr("minus run %1").arg(run.id);
      runs << static_cast<qlonglong>(run.id);
    }
  }
  QStringList present;
  for (int i = 0; i < baseline_->count(); ++i) {
    present << baseline_->itemText(i);
  }
  if (present != labels) {
    baseline_->clear();
    for (int i = 0; i < labels.size(); ++i) {
      baseline_->addItem(labels[i], runs[i]);
    }
  }
  baseline_->setCurrentIndex(std::max(0, baseline_->findData(static_cast<qlonglong>(chosen))));
  baseline_->setVisible(labels.size() > 1);
}

void HeatmapPanel::update_warning() {
  const auto view = subject_.view();
  if (!view || !view->baseline || view->differences.empty()) {
    warning_->set_warning({}, {});
    return;
  }
  QStringList lines{tr("Run %1 and its baseline, run %2, differ in more than their edits:")
                        .arg(view->run->run.id)
                        .arg(view->query.baseline)};
  for (const RunDifference& difference : view->differences) {
    lines << QStringLiteral("• ") + visible(difference.detail);
  }
  if (!same_shape(view->run->table, *view->baseline))
    lines << tr("Their layers or experts are not the same: the difference cannot be shown.");
  const auto more = view->differences.size() - 1;
  const QString first = tr("other %1").arg(QString::fromStdString(view->differences.front().what));
  warning_->set_warning(
      more > 0 ? tr("%1 +%2").arg(first).arg(more) : first,
      plain_tooltip(lines.join(QLatin1Char('\n'))).replace(QLatin1Char('\n'), QStringLiteral("<br>")));
}

void HeatmapPanel::update_reading(Cell cell) {
  const auto shown = map_->scene().data;
  const bool any = shown && shown->contains(cell);
  context_.read_out(
      any ? tr("layer %1 · %2 · %3").arg(QString::number(cell.layer), expert_name(cell), shown->text(cell))
          : QString());
}

QString HeatmapPanel::layer_entropy(int layer) const {
  const auto view = subject_.view();
  if (!view || !view->run) return {};
  const auto& layers = view->run->entropy.layers;
  const auto at =
      std::find_if(layers.begin(), layers.end(), [layer](const LayerEntropy& e) { return e.layer == layer; });
  if (at == layers.end()) return {};
  return tr("%1 nats, %2 of even").arg(number_text(at->mean), percent_text(at->normalised));
}

QString HeatmapPanel::layer_attention(int layer) const {
  const auto view = subject_.view();
  if (!view || !view->run) return {};
  const auto& layers = view->run->attention.layers;
  const auto at = std::find_if(layers.begin(), layers.end(),
                               [layer](const LayerAttention& attention) { return attention.layer == layer; });
  return at == layers.end() ? QString() : percent_text(at->mean);
}

QString HeatmapPanel::tooltip(Cell cell) const {
  const auto table = subject_.expert_table();
  if (!table || cell.layer >= table->layers || cell.expert >= table->experts) return {};
  if (table->moe_layer[cell.layer] == 0) {
    return tr("layer %1: dense MLP, no router").arg(cell.layer);
  }
  if (!table->has(cell.layer, cell.expert)) return {};
  const ExpertStats& stats = table->at(cell.layer, cell.expert);
  QString rows;
  if (table->tokens == 0) {
    rows = row(tr("not measured yet"), {});
  } else if (cell.is_shared()) {
    rows += row(tr("runs for"), tr("every token"));
    rows += row(tr("load and weight"), tr("not measured"));
  } else {
    rows += row(tr("slots"), count_text(stats.count));
    rows += row(tr("rank by load"), tr("%1 of %2").arg(load_rank(*table, cell)).arg(table->experts));
  }
  for (const MapSource::Number& number : source_.numbers(cell)) {
    rows += row(number.name.toLower(), number.text);
  }
  if (stats.output_channel >= 0) {
    rows += row(tr("in channel"), QString::number(stats.output_channel));
    rows += row(tr("at token"), QString::number(stats.output_token));
  }
  if (const auto shown = map_->scene().data; shown && shown->difference) {
    rows +=
        row(tr("%1 minus run %2").arg(shown->name).arg(subject_.selection().baseline()), shown->text(cell));
  }
  if (const QString entropy = layer_entropy(cell.layer); !entropy.isEmpty())
    rows += row(tr("layer's mean router entropy"), entropy);
  if (const QString attention = layer_attention(cell.layer); !attention.isEmpty())
    rows += row(tr("layer's attention on the first token"), attention);
  const auto& super = map_->scene().super_cells;
  if (std::find(super.begin(), super.end(), cell) != super.end())
    rows += row(tr("super expert"), QStringLiteral("▲"));
  for (const QString& line : map_->scene().marks.at(cell).lines) {
    rows += QStringLiteral("<tr><td colspan='2'><i>%1</i></td></tr>").arg(line.toHtmlEscaped());
  }
  return QStringLiteral("<b>%1</b><table>%2</table>")
      .arg(tr("layer %1, %2").arg(QString::number(cell.layer), expert_name(cell)), rows);
}

}  // namespace expertscope
