// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/outlier_chart.h"

#include <QCategoryAxis>
#include <QChart>
#include <QChartView>
#include <QEvent>
#include <QGraphicsLayout>
#include <QLabel>
#include <QLineSeries>
#include <QMouseEvent>
#include <QScatterSeries>
#include <QToolTip>
#include <QVBoxLayout>
#include <QValueAxis>
#include <algorithm>
#include <cmath>

#include "probes/report/colour_scale.h"
#include "views/models/design.h"
#include "views/models/numbers.h"
#include "views/models/subject.h"

namespace expertscope {
namespace {

constexpr qsizetype kNamedExperts = 8;  // in the line above the plot; the tool tip has all
constexpr int kSmallestChart = 180;     // pixels: QChartView draws nothing sensible below

}  // namespace

OutlierChart::OutlierChart(Subject& subject, QWidget* parent)
    : QWidget(parent),
      subject_(subject),
      chart_(new QChart),
      view_(new QChartView(chart_)),
      summary_(new QLabel) {
  setObjectName(QStringLiteral("outlier_chart"));
  chart_->legend()->hide();
  chart_->setMargins(QMargins(4, 0, 8, 0));
  chart_->setBackgroundRoundness(0);
  chart_->layout()->setContentsMargins(0, 0, 0, 0);
  view_->setRenderHint(QPainter::Antialiasing);
  view_->setFrameShape(QFrame::NoFrame);
  view_->setMinimumHeight(kSmallestChart);
  // The first numbers must not push up what is above.
  QSizePolicy keep = view_->sizePolicy();
  keep.setRetainSizeWhenHidden(true);
  view_->setSizePolicy(keep);
  view_->setAccessibleName(tr("Largest down_proj output of every expert"));
  summary_->setContentsMargins(10, 6, 10, 2);
  summary_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(summary_);
  layout->addWidget(view_, 1);
  make_axes();
  make_series();
  use_palette();
  view_->viewport()->setMouseTracking(true);
  view_->viewport()->installEventFilter(this);
  connect(&subject.trace(), &TraceSource::view_changed, this, &OutlierChart::update_data);
  connect(&subject, &Subject::content_changed, this, &OutlierChart::update_data);
  connect(&subject.selection(), &Selection::cell_changed, this, &OutlierChart::update_selected);
  update_data();
}

void OutlierChart::make_axes() {
  layers_ = new QCategoryAxis;
  layers_->setTitleText(tr("layer (its experts from left to right)"));
  layers_->setRange(0, 1);
  values_ = new QValueAxis;
  values_->setTitleText(tr("max |down_proj output|"));
  values_->setLabelFormat(QStringLiteral("%.3g"));
  values_->setTickType(QValueAxis::TicksDynamic);
  values_->setTickAnchor(0);
  values_->setRange(0, 1);
  chart_->addAxis(layers_, Qt::AlignBottom);
  chart_->addAxis(values_, Qt::AlignLeft);
}

void OutlierChart::make_series() {
  line_ = new QLineSeries;
  threshold_ = new QLineSeries;
  super_ = new QScatterSeries;
  selected_ = new QScatterSeries;
  super_->setMarkerShape(QScatterSeries::MarkerShapeTriangle);
  super_->setMarkerSize(11);
  selected_->setMarkerShape(QScatterSeries::MarkerShapeCircle);
  selected_->setMarkerSize(11);
  for (QXYSeries* series : std::initializer_list<QXYSeries*>{threshold_, line_, super_, selected_}) {
    chart_->addSeries(series);
    series->attachAxis(layers_);
    series->attachAxis(values_);
  }
}

void OutlierChart::use_palette() {
  const QColor text = palette().color(QPalette::Text);
  QColor faint = text;
  faint.setAlphaF(0.14f);
  chart_->setBackgroundBrush(palette().color(QPalette::Base));
  for (QValueAxis* axis : std::initializer_list<QValueAxis*>{layers_, values_}) {
    axis->setLabelsColor(text);
    axis->setTitleBrush(palette().color(QPalette::PlaceholderText));
    axis->setGridLineColor(faint);
    axis->setLinePenColor(faint);
    axis->setLabelsFont(small_font(font()));
    axis->setTitleFont(small_font(font()));
  }
  line_->setPen(QPen(design_colours(palette()).chart, 1.4));
  threshold_->setPen(QPen(design_colours(palette()).mark, 1, Qt::DashLine));
  super_->setColor(design_colours(palette()).mark);
  super_->setBorderColor(palette().color(QPalette::Base));
  selected_->setColor(Qt::transparent);
  selected_->setPen(QPen(text, 2));
}

void OutlierChart::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange && selected_ != nullptr) use_palette();
}

void OutlierChart::update_data() {
  const auto view = subject_.view();
  const bool any = view && view->run;
  series_ = any ? make_outlier_series(view->run->table, view->run->super_experts) : OutlierSeries{};
  line_->replace(series_.line);
  super_->replace(series_.super_experts);
  const auto table = subject_.expert_table();
  const int layers = table ? std::max(1, table->layers) : 1;
  update_axes(layers);
  const bool threshold = series_.threshold > 0 && series_.threshold < series_.highest * 1.12;
  threshold_->replace(
      threshold ? QList<QPointF>{{0, series_.threshold}, {static_cast<double>(layers), series_.threshold}}
                : QList<QPointF>{});
  summary_->setToolTip({});
  view_->setVisible(!series_.line.isEmpty());
  summary_->setForegroundRole(series_.line.isEmpty() ? QPalette::PlaceholderText : QPalette::WindowText);
  if (series_.line.isEmpty()) {
    summary_->setText(
        tr("The largest |down_proj output| of every expert appears here while tokens are generated."));
  } else if (series_.super_cells.empty()) {
    summary_->setText(tr("No super experts: none exceeds both thresholds (dashed: %1).")
                          .arg(number_text(series_.threshold)));
  } else {
    QStringList names;
    for (const Cell& cell : series_.super_cells) {
      names << (cell.is_shared() ? tr("L%1 shared").arg(cell.layer)
                                 : tr("L%1 E%2").arg(cell.layer).arg(cell.expert));
    }
    summary_->setToolTip(names.join(QStringLiteral(", ")));
    const auto more = std::max<qsizetype>(0, names.size() - kNamedExperts);
    names = names.mid(0, kNamedExperts);
    summary_->setText(
        tr("Super experts (▲, above %1): %2%3")
            .arg(number_text(series_.threshold))
            .arg(names.join(QStringLiteral(", ")), more > 0 ? tr(" and %1 more").arg(more) : QString()));
  }
  update_selected();
}

void OutlierChart::update_axes(int layers) {
  const double top = series_.highest > 0 ? series_.highest * 1.12 : 1;
  const std::vector<double> ticks = ColourScale{0, top, false}.ticks(4);
  values_->setTickInterval(ticks.size() > 1 ? ticks[1] - ticks[0] : top);
  values_->setRange(0, top);
  if (layers_->max() == layers && layers_->count() > 0) return;
  constexpr int kMostLabels = 16;
  const int step = (layers + kMostLabels - 1) / kMostLabels;
  for (const QString& label : layers_->categoriesLabels()) {
    layers_->remove(label);
  }
  layers_->setRange(0, layers);
  // A label stands in the middle of its layers.
  for (int layer = 0; layer < layers; layer += step) {
    const int last = std::min(layer + step, layers) - 1;
    layers_->append(step == 1 ? QString::number(layer) : tr("%1–%2").arg(layer).arg(last), last + 1);
  }
}

void OutlierChart::update_selected() {
  QList<QPointF> at;
  const auto table = subject_.expert_table();
  const Cell cell = subject_.selection().cell();
  if (table && cell.valid() && table->has(cell.layer, cell.expert)) {
    const ExpertStats& stats = table->at(cell.layer, cell.expert);
    if (stats.output_channel >= 0) at << QPointF(outlier_x(*table, cell), stats.output_max);
  }
  selected_->replace(at);
}

Cell OutlierChart::cell_at(const QPointF& pixel) const {
  const auto table = subject_.expert_table();
  const QPointF in_chart = chart_->mapFromScene(view_->mapToScene(pixel.toPoint()));
  if (!table || !chart_->plotArea().contains(in_chart)) return {};
  return outlier_cell(*table, chart_->mapToValue(in_chart, line_).x());
}

void OutlierChart::show_tip(Cell cell, const QPoint& global) const {
  const auto table = subject_.expert_table();
  if (!cell.valid() || !table) {
    QToolTip::hideText();
    return;
  }
  const ExpertStats& stats = table->at(cell.layer, cell.expert);
  const QString value =
      stats.output_channel < 0
          ? tr("not measured")
          : tr("%1 in channel %2").arg(all_digits(stats.output_max)).arg(stats.output_channel);
  QToolTip::showText(
      global, tr("layer %1, %2: %3").arg(QString::number(cell.layer), expert_name(cell), value), view_);
}

bool OutlierChart::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::MouseMove || event->type() == QEvent::MouseButtonPress) {
    const auto* mouse = static_cast<QMouseEvent*>(event);
    const Cell cell = cell_at(mouse->position());
    if (event->type() == QEvent::MouseMove) {
      show_tip(cell, mouse->globalPosition().toPoint());
    } else if (cell.valid()) {
      subject_.selection().set_cell(cell);
    }
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace expertscope
