// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/map_source.h"

#include <algorithm>

#include "views/models/analysis_table_model.h"
#include "views/models/subject.h"
#include "views/models/table_map.h"

namespace expertscope {

MapSource::MapSource(Subject& subject, QObject* parent)
    : QObject(parent),
      subject_(subject),
      of_run_(subject),
      of_baseline_(subject),
      metric_(&map_metrics().front()) {
  for (AnalysisSource* source : {&of_run_, &of_baseline_}) {
    connect(source, &AnalysisSource::changed, this, &MapSource::draw);
  }
}

void MapSource::set_metric(const MapMetric& metric) {
  metric_ = &metric;
  ask();
  draw();
}

void MapSource::set_visible(bool visible) {
  visible_ = visible;
  ask();
}

void MapSource::update() {
  const auto shape = subject_.expert_table();
  const auto view = subject_.view();
  const auto baseline = view && view->run ? view->baseline : nullptr;
  const bool same = shape == shape_ && baseline == baseline_;
  shape_ = shape;
  baseline_ = baseline;
  if (!same) compute();
  ask();
  if (!same || !metric_->of_aggregates()) draw();
}

void MapSource::compute() {
  at_once_.clear();
  for (const Analysis& analysis : analyses()) {
    if (!analysis.of_aggregates || !shape_) continue;
    at_once_.push_back({&analysis, analysis.of_aggregates(*shape_),
                        baseline_ ? analysis.of_aggregates(*baseline_) : AnalysisResult()});
  }
}

void MapSource::ask() {
  const bool wanted = visible_ && !metric_->of_aggregates();
  const auto view = subject_.view();
  wanted ? of_run_.ask(metric_->analysis->id) : of_run_.rest();
  wanted&& baseline_ ? of_baseline_.ask(metric_->analysis->id, {}, view->query.baseline)
                     : of_baseline_.rest();
}

const Table* MapSource::table_of(const MapMetric& metric, bool baseline) const {
  const auto found = std::find_if(at_once_.begin(), at_once_.end(),
                                  [&](const AtOnce& each) { return each.analysis == metric.analysis; });
  if (found != at_once_.end()) return (baseline ? found->baseline : found->run).find(metric.table);
  const AnalysisSource& source = baseline ? of_baseline_ : of_run_;
  const auto result = source.result();
  return result && source.is_current() ? result->find(metric.table) : nullptr;
}

void MapSource::draw() {
  map_.reset();
  if (shape_) {
    const Table none(metric_->table, {}, TableKey::layer_expert, {});
    const Table* table = table_of(*metric_, false);
    HeatmapData map = map_of(table != nullptr ? *table : none, metric_->column, *shape_, false);
    if (const Table* before = baseline_ ? table_of(*metric_, true) : nullptr; before != nullptr) {
      HeatmapData difference = difference_of(map, map_of(*before, metric_->column, *baseline_, false));
      if (!difference.empty()) map = std::move(difference);
    }
    map.name = metric_->name;
    map_ = std::make_shared<const HeatmapData>(std::move(map));
  }
  Q_EMIT changed();
}

QString MapSource::reason() const {
  if (metric_->of_aggregates() || !visible_) return {};
  for (const AnalysisSource* source : {&of_run_, &of_baseline_}) {
    if (source == &of_baseline_ && !baseline_) continue;
    if (!source->problem().isEmpty() && source->is_current()) return source->problem();
    if (!source->is_current() && subject_.view() && subject_.view()->run)
      return tr("Computing: %1…").arg(metric_->name.toLower());
  }
  return {};
}

std::vector<MapSource::Number> MapSource::numbers(Cell cell) const {
  std::vector<Number> numbers;
  const auto add = [&](const MapMetric& metric) {
    const Table* table = table_of(metric, false);
    const Column* column = table != nullptr ? table->find(metric.column.id) : nullptr;
    if (column == nullptr || !shape_ || shape_->tokens == 0) return;
    const auto row = row_of(*table, cell);
    if (row && column->has(*row)) numbers.push_back({metric.name, column_details(*column, *row)});
  };
  const auto& metrics = map_metrics();
  for (int i = 0; i < kMetricsWithKeys; ++i) {
    add(metrics[static_cast<std::size_t>(i)]);
  }
  if (metric_ - metrics.data() >= kMetricsWithKeys) add(*metric_);
  return numbers;
}

}  // namespace expertscope
