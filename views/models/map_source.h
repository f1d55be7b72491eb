// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QString>
#include <memory>
#include <vector>

#include "views/models/analysis_source.h"
#include "views/models/heatmap_data.h"
#include "views/models/map_metrics.h"

namespace expertscope {

/// What the routing map shows: a metric of the shown run, or its difference from the baseline. What
/// aggregates say is there at once; any other analysis runs in a worker, only while its metric is chosen and
/// the map can be seen.
class MapSource final : public QObject {
  Q_OBJECT
 public:
  /// `subject` outlives this object.
  explicit MapSource(Subject& subject, QObject* parent = nullptr);

  const MapMetric& metric() const { return *metric_; }
  void set_metric(const MapMetric& metric);
  void set_visible(bool visible);
  /// Looks at the subject again.
  void update();

  /// Null: there is nothing to show.
  std::shared_ptr<const HeatmapData> map() const { return map_; }
  /// Why it has no values: what is being computed, or what is in the way; empty: nothing was measured.
  QString reason() const;

  struct Number {
    QString name;
    QString text;  ///< with all digits
  };
  /// What there is of a cell: the metrics with shortcuts, then the shown one.
  std::vector<Number> numbers(Cell cell) const;

 Q_SIGNALS:
  void changed();

 private:
  /// An analysis of aggregates, of the run and of the baseline.
  struct AtOnce {
    const Analysis* analysis = nullptr;
    AnalysisResult run;
    AnalysisResult baseline;
  };
  const AtOnce& at_once(const Analysis& analysis) const;
  void compute();
  void ask();
  void draw();
  const Table* table_of(const MapMetric& metric, bool baseline) const;

  Subject& subject_;
  AnalysisSource of_run_;
  AnalysisSource of_baseline_;
  const MapMetric* metric_;
  bool visible_ = false;
  std::shared_ptr<const ExpertTable> shape_;     ///< what `at_once_` was computed of
  std::shared_ptr<const ExpertTable> baseline_;  ///< null: none
  std::vector<AtOnce> at_once_;
  std::shared_ptr<const HeatmapData> map_;
};

}  // namespace expertscope
