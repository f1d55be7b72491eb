// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/expert_numbers.h"

#include <cmath>
#include <limits>

#include "views/models/numbers.h"

namespace expertscope {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

/// sum / count; NaN for an expert that never ran.
double mean(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : kNotMeasured;
}

std::int64_t layer_slots(const ExpertTable& table, int layer) {
  std::int64_t slots = 0;
  for (int expert = 0; expert < table.experts; ++expert) {
    slots += table.at(layer, expert).count;
  }
  return slots;
}

}  // namespace

std::vector<std::int64_t> slots_of_layers(const ExpertTable& table) {
  std::vector<std::int64_t> slots;
  for (int layer = 0; layer < table.layers; ++layer) {
    slots.push_back(layer_slots(table, layer));
  }
  return slots;
}

bool of_routing(ExpertNumber number) {
  return number != ExpertNumber::norm && number != ExpertNumber::output_max;
}

double expert_number(const ExpertStats& stats, ExpertNumber number, std::int64_t layer_slots) {
  const bool measured = stats.output_channel >= 0;
  switch (number) {
    case ExpertNumber::count:
      return static_cast<double>(stats.count);
    case ExpertNumber::share:
      return mean(static_cast<double>(stats.count), layer_slots);
    case ExpertNumber::weight:
      return mean(stats.weight_sum, stats.count);
    case ExpertNumber::probability:
      return mean(stats.probability_sum, stats.count);
    case ExpertNumber::norm:
      return measured ? mean(stats.norm_sum, stats.count) : kNotMeasured;
    case ExpertNumber::output_max:
      return measured ? stats.output_max : kNotMeasured;
  }
  return kNotMeasured;
}

double expert_number(const ExpertTable& table, Cell cell, ExpertNumber number) {
  // A trace may be from before shared experts were measured.
  if (cell.is_shared() && (of_routing(number) || !table.has_shared(cell.layer))) return kNotMeasured;
  return expert_number(table.at(cell.layer, cell.expert), number, layer_slots(table, cell.layer));
}

QString format_number(ExpertNumber number, double value) {
  if (number == ExpertNumber::count && !std::isnan(value)) return count_text(static_cast<qint64>(value));
  return number == ExpertNumber::share ? percent_text(value) : number_text(value);
}

QString format_difference(ExpertNumber number, double value) {
  return number == ExpertNumber::share ? change_of_share_text(value) : change_text(value);
}

bool same_shape(const ExpertTable& a, const ExpertTable& b) {
  return a.layers == b.layers && a.experts == b.experts && a.moe_layer == b.moe_layer;
}

}  // namespace expertscope
