// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/expert_figures.h"

#include <QCoreApplication>
#include <array>
#include <cmath>

#include "views/models/numbers.h"

namespace expertscope {
namespace {

QString tr(const char* text) {
  return QCoreApplication::translate("Expert", text);
}

struct Named {
  ExpertNumber number;
  const char* name;
  bool in_all_layers;  ///< what its rank is among
};
constexpr std::array<Named, 5> kNamed = {
    {{ExpertNumber::share, QT_TRANSLATE_NOOP("Expert", "load"), false},
     {ExpertNumber::weight, QT_TRANSLATE_NOOP("Expert", "mean weight"), false},
     {ExpertNumber::norm, QT_TRANSLATE_NOOP("Expert", "mean norm"), true},
     {ExpertNumber::output_max, QT_TRANSLATE_NOOP("Expert", "max |down_proj|"), true},
     {ExpertNumber::probability, QT_TRANSLATE_NOOP("Expert", "mean score"), false}}};

QString all_digits_of(ExpertNumber number, double value) {
  return number == ExpertNumber::share ? all_digits(value * 100) + QStringLiteral(" %") : all_digits(value);
}

KeyFigure figure_of(const ExpertTable& table, Cell cell, const Named& named) {
  const double value = expert_number(table, cell, named.number);
  KeyFigure figure{tr(named.name), format_number(named.number, value), {}, {}, {}};
  if (std::isnan(value)) return figure;
  figure.details = all_digits_of(named.number, value);
  const Standing standing = standing_of(table, cell, named.number, named.in_all_layers);
  if (standing.rank > 0) {
    figure.rank = count_text(standing.rank);
    figure.of = tr("of %1").arg(count_text(standing.of));
  }
  return figure;
}

QString line(const QString& tag, const QStringList& cells) {
  QString html;
  for (qsizetype i = 0; i < cells.size(); ++i) {
    html += QStringLiteral("<%1 align='%2' style='padding-right:10px'>%3</%1>")
                .arg(tag, i == 0 ? QStringLiteral("left") : QStringLiteral("right"), cells[i]);
  }
  return QStringLiteral("<tr>%1</tr>").arg(html);
}

}  // namespace

Standing standing_of(const ExpertTable& table, Cell cell, ExpertNumber number, bool in_all_layers) {
  const double own = expert_number(table, cell, number);
  if (cell.is_shared() || std::isnan(own)) return {};
  Standing standing{1, 0};
  for (int layer = 0; layer < table.layers; ++layer) {
    if (table.moe_layer[layer] == 0 || (!in_all_layers && layer != cell.layer)) continue;
    // Shares are asked of one layer only, and there slots have the same order.
    const ExpertNumber asked = number == ExpertNumber::share ? ExpertNumber::count : number;
    const double mine = number == ExpertNumber::share ? expert_number(table, cell, asked) : own;
    for (int expert = 0; expert < table.experts; ++expert) {
      const double other = expert_number(table.at(layer, expert), asked, 0);
      if (std::isnan(other)) continue;
      ++standing.of;
      const bool before = layer < cell.layer || (layer == cell.layer && expert < cell.expert);
      if (other > mine || (other == mine && before)) ++standing.rank;
    }
  }
  return standing;
}

std::vector<Rank> ranks_in_layer(const ExpertTable& table, Cell cell) {
  std::vector<Rank> ranks;
  for (const Named& named : kNamed) {
    const Standing standing = standing_of(table, cell, named.number, false);
    if (standing.rank > 0) ranks.push_back({tr(named.name), standing});
  }
  return ranks;
}

std::vector<KeyFigure> key_figures(const ExpertTable& table, Cell cell) {
  std::vector<KeyFigure> figures;
  if (!table.has(cell.layer, cell.expert)) return figures;
  for (const Named& named : kNamed) {
    if (!cell.is_shared() || !of_routing(named.number)) figures.push_back(figure_of(table, cell, named));
  }
  const ExpertStats& stats = table.at(cell.layer, cell.expert);
  if (cell.is_shared()) {
    figures.push_back({tr("tokens"), count_text(stats.count), {}, {}, {}});
  } else {
    const std::int64_t slots = slots_of_layers(table)[static_cast<std::size_t>(cell.layer)];
    figures.push_back({tr("slots"), count_text(stats.count), {}, tr("of %1").arg(count_text(slots)), {}});
  }
  if (stats.output_channel >= 0) {
    figures.push_back({tr("outlier channel"),
                       QString::number(stats.output_channel),
                       {},
                       {},
                       tr("%1, at token %2").arg(stats.output_channel).arg(count_text(stats.output_token))});
  }
  return figures;
}

QString comparison_html(const ExpertTable& run, const ExpertTable& baseline, Cell cell,
                        const QString& run_name, const QString& baseline_name) {
  if (!same_shape(run, baseline)) return {};
  QString rows = line(QStringLiteral("th"), {QString(), run_name, baseline_name, tr("difference")});
  for (const Named& named : kNamed) {
    const double here = expert_number(run, cell, named.number);
    const double there = expert_number(baseline, cell, named.number);
    rows += line(QStringLiteral("td"),
                 {tr(named.name), format_number(named.number, here), format_number(named.number, there),
                  format_difference(named.number, here - there)});
  }
  return QStringLiteral("<table cellspacing='1'>%1</table>").arg(rows);
}

}  // namespace expertscope
