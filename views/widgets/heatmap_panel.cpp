// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/heatmap_panel.h"

#include <QCheckBox>
#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/expert_numbers.h"
#include "views/models/plain_text.h"
#include "views/models/workspace.h"
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

HeatmapPanel::HeatmapPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), map_(new HeatmapView) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(make_tool_bar());
  layout->addWidget(map_, 1);
  map_->set_tooltip([this](Cell cell) { return tooltip(cell); });
  map_->set_logarithmic(logarithmic_->isChecked());
  connect_workspace();
  update_data();
  update_hint();
}

QWidget* HeatmapPanel::make_tool_bar() {
  auto* bar = new QWidget;
  auto* layout = new QHBoxLayout(bar);
  layout->setContentsMargins(8, 5, 8, 5);
  metric_ = new QComboBox;
  metric_->setObjectName(QStringLiteral("metric"));
  metric_->setAccessibleName(tr("Metric of the routing map"));
  for (const HeatmapMetric metric : kHeatmapMetrics) {
    metric_->addItem(metric_name(metric), static_cast<int>(metric));
    metric_->setItemData(metric_->count() - 1, metric_explanation(metric), Qt::ToolTipRole);
  }
  metric_->setCurrentIndex(
      std::clamp(workspace_.settings().value(kMetricKey, 0).toInt(), 0, metric_->count() - 1));
  logarithmic_ = new QCheckBox(tr("Log"));
  logarithmic_->setObjectName(QStringLiteral("logarithmic"));
  logarithmic_->setToolTip(tr("Logarithmic colour scale"));
  logarithmic_->setChecked(workspace_.settings().value(kLogKey, false).toBool());
  baseline_ = new QComboBox;
  baseline_->setObjectName(QStringLiteral("baseline"));
  baseline_->setAccessibleName(tr("Baseline run"));
  baseline_->setToolTip(tr("Show the signed difference to another run of this trace"));
  baseline_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  auto* fit = new QToolButton;
  fit->setText(tr("Fit"));
  fit->setToolTip(tr("Show the whole map (Home)"));
  fit->setAutoRaise(true);
  warning_ = new WarningLabel;
  warning_->setObjectName(QStringLiteral("baseline_warning"));
  reading_ = new QLabel;
  reading_->setObjectName(QStringLiteral("map_reading"));
  reading_->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
  reading_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  layout->addWidget(metric_);
  layout->addWidget(logarithmic_);
  layout->addSpacing(8);
  // What comes, goes or is as wide as its text stands behind what is clicked.
  layout->addWidget(fit);
  layout->addWidget(baseline_);
  layout->addWidget(warning_);
  layout->addWidget(reading_, 1);
  connect(fit, &QToolButton::clicked, map_, &HeatmapView::fit);
  connect(metric_, &QComboBox::currentIndexChanged, this, [this](int index) {
    workspace_.settings().setValue(kMetricKey, index);
    update_data();
    Q_EMIT metric_changed(shown_metric());
  });
  connect(logarithmic_, &QCheckBox::toggled, this, [this](bool on) {
    workspace_.settings().setValue(kLogKey, on);
    map_->set_logarithmic(on);
  });
  return bar;
}

void HeatmapPanel::connect_workspace() {
  Selection& selection = workspace_.selection();
  connect(map_, &HeatmapView::cell_selected, &selection, &Selection::set_cell);
  connect(&selection, &Selection::cell_changed, map_, &HeatmapView::set_selected);
  connect(&selection, &Selection::cell_changed, this, &HeatmapPanel::update_reading);
  connect(map_, &HeatmapView::cell_hovered, this,
          [this](Cell cell) { update_reading(cell.valid() ? cell : workspace_.selection().cell()); });
  connect(&workspace_.trace(), &TraceSource::view_changed, this, [this] {
    update_baselines();
    update_data();
    update_warning();
    update_token_cells();
  });
  connect(&selection, &Selection::token_changed, this, &HeatmapPanel::update_token_cells);
  connect(&workspace_, &Workspace::content_changed, this, [this] {
    map_->end_pick();
    map_->set_data(nullptr);
    map_->fit();
    update_baselines();
    update_data();
    update_warning();
    update_hint();
  });
  connect(&workspace_, &Workspace::marks_changed, this, [this] {
    map_->end_pick();
    map_->set_marks(workspace_.marks());
  });
  connect(&workspace_.engine(), &EngineController::state_changed, this, &HeatmapPanel::update_hint);
  connect(baseline_, &QComboBox::activated, this, [this](int index) {
    workspace_.selection().set_baseline(baseline_->itemData(index).toLongLong());
  });
  update_baselines();
}

HeatmapMetric HeatmapPanel::shown_metric() const {
  return static_cast<HeatmapMetric>(metric_->currentData().toInt());
}

void HeatmapPanel::set_metric(HeatmapMetric metric) {
  metric_->setCurrentIndex(metric_->findData(static_cast<int>(metric)));
}

void HeatmapPanel::update_data() {
  const auto table = workspace_.expert_table();
  if (!table) {
    map_->set_data(nullptr);
    return;
  }
  HeatmapData values;
  const auto view = workspace_.view();
  if (view && view->baseline && view->run) values = make_difference(*table, *view->baseline, shown_metric());
  if (values.empty()) values = make_heatmap(*table, shown_metric());
  map_->set_data(std::make_shared<const HeatmapData>(std::move(values)));
  update_super_cells();
  update_figure();
  const Cell hovered = map_->scene().hovered.value_or(Cell{});
  update_reading(hovered.valid() ? hovered : workspace_.selection().cell());
}

void HeatmapPanel::update_figure() {
  const auto view = workspace_.view();
  if (!view || !view->run) {
    map_->set_figure({}, metric_name(shown_metric()));
    return;
  }
  const RunInfo& run = view->run->run;
  QString caption = tr("%1 · run %2 of %3, %4 tokens")
                        // In one go: a name may contain "%1" itself.
                        .arg(metric_name(shown_metric()), QString::number(run.id), visible(run.model.name),
                             QString::number(view->run->table.tokens));
  const auto shown = map_->scene().data;
  if (shown && shown->difference) {
    caption += tr(" · minus run %1").arg(view->query.baseline);
    if (!view->differences.empty()) caption += tr(" (%1)").arg(difference_names(view->differences));
  }
  map_->set_figure(workspace_.run_marks(), caption);
}

void HeatmapPanel::update_super_cells() {
  std::vector<Cell> cells;
  const auto view = workspace_.view();
  if (view && view->run && shown_metric() == HeatmapMetric::output_max) {
    for (const SuperExpert& expert : view->run->super_experts.super_experts) {
      cells.push_back({expert.layer, expert.expert});
    }
  }
  map_->set_super_cells(std::move(cells));
}

void HeatmapPanel::update_token_cells() {
  std::vector<Cell> cells;
  const auto view = workspace_.view();
  if (view && view->token && view->token->token.index == workspace_.selection().token()) {
    for (const SlotRow& slot : view->token->slots) {
      cells.push_back({slot.layer, slot.expert});
    }
  }
  map_->set_token_cells(std::move(cells));
}

void HeatmapPanel::update_hint() {
  if (workspace_.content() == Workspace::Content::trace) {
    map_->set_hint(tr("This run has no measurements"));
  } else if (workspace_.engine().state() == EngineState::generating) {
    map_->set_hint({});
  } else {
    map_->set_hint(tr("Type a prompt below and press Generate: the map fills while tokens appear"));
  }
}

void HeatmapPanel::update_baselines() {
  const std::int64_t chosen = workspace_.selection().baseline();
  const std::int64_t shown = workspace_.view() && workspace_.view()->run ? workspace_.view()->run->run.id : 0;
  QStringList labels{tr("no baseline")};
  QVariantList runs{0};
  if (const auto view = workspace_.view()) {
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
  const auto view = workspace_.view();
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
  if (!shown || !shown->contains(cell)) {
    reading_->clear();
    return;
  }
  reading_->setText(
      tr("layer %1 · %2 · %3").arg(QString::number(cell.layer), expert_name(cell), shown->text(cell)));
}

QString HeatmapPanel::layer_entropy(int layer) const {
  const auto view = workspace_.view();
  if (!view || !view->run) return {};
  const auto& layers = view->run->entropy.layers;
  const auto at =
      std::find_if(layers.begin(), layers.end(), [layer](const LayerEntropy& e) { return e.layer == layer; });
  if (at == layers.end()) return {};
  return tr("%1 nats (%2 % of even)").arg(at->mean, 0, 'g', 4).arg(at->normalised * 100, 0, 'f', 0);
}

QString HeatmapPanel::layer_attention(int layer) const {
  const auto view = workspace_.view();
  if (!view || !view->run) return {};
  const auto& layers = view->run->attention.layers;
  const auto at = std::find_if(layers.begin(), layers.end(),
                               [layer](const LayerAttention& attention) { return attention.layer == layer; });
  return at == layers.end() ? QString() : tr("%1 %").arg(at->mean * 100, 0, 'g', 4);
}

QString HeatmapPanel::tooltip(Cell cell) const {
  const auto table = workspace_.expert_table();
  if (!table || cell.layer >= table->layers || cell.expert >= table->experts) return {};
  if (table->moe_layer[cell.layer] == 0) {
    return tr("layer %1: dense MLP, no router").arg(cell.layer);
  }
  if (!table->has(cell.layer, cell.expert)) return {};
  const ExpertStats& stats = table->at(cell.layer, cell.expert);
  QString rows;
  const auto value = [&](HeatmapMetric metric) {
    const double number = make_heatmap(*table, metric).at(cell);
    return metric == HeatmapMetric::load ? QStringLiteral("%1 %").arg(number * 100, 0, 'g', 6)
                                         : QString::number(number, 'g', 9);
  };
  if (table->tokens == 0) {
    rows = row(tr("not measured yet"), {});
  } else if (cell.is_shared()) {
    rows += row(tr("runs for"), tr("every token"));
    rows += row(tr("load and weight"), tr("not measured"));
  } else {
    rows += row(tr("routed slots"), QString::number(stats.count));
    rows += row(tr("share of the layer"), value(HeatmapMetric::load));
    rows += row(tr("rank by load"), tr("%1 of %2").arg(load_rank(*table, cell)).arg(table->experts));
    rows += row(tr("weight per token"), value(HeatmapMetric::weight));
  }
  if (stats.output_channel >= 0) {
    rows += row(tr("mean output norm"), value(HeatmapMetric::output_norm));
    rows += row(tr("max |down_proj|"), value(HeatmapMetric::output_max));
    rows += row(tr("in channel"), QString::number(stats.output_channel));
    rows += row(tr("at token"), QString::number(stats.output_token));
  }
  if (const auto shown = map_->scene().data; shown && shown->difference) {
    rows += row(tr("%1 minus run %2").arg(metric_name(shown->metric)).arg(workspace_.selection().baseline()),
                shown->text(cell));
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
