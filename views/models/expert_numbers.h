// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <array>
#include <cstdint>
#include <vector>

#include "probes/store/run_info.h"
#include "views/models/selection.h"

namespace expertscope {

/// What can be said of an expert of a run, and compared with the same expert of another.
enum class ExpertNumber : std::uint8_t {
  count,        ///< slots
  share,        ///< of the layer's slots
  weight,       ///< mean combine weight over its slots
  probability,  ///< mean router probability over its slots
  norm,         ///< mean ||f_e||_2 over its slots
  output_max,   ///< max |f_e|
};
inline constexpr std::array kComparedNumbers = {ExpertNumber::share, ExpertNumber::weight, ExpertNumber::norm,
                                                ExpertNumber::output_max};

/// Slots of all experts of each layer; 0 for a dense one.
std::vector<std::int64_t> slots_of_layers(const ExpertTable& table);
/// The raw number; NaN where not measured. `layer_slots`: of the expert's layer, added up once for all of it.
double expert_number(const ExpertStats& stats, ExpertNumber number, std::int64_t layer_slots);
/// Whether it is made of slots or of the router's numbers: a shared expert has none.
bool of_routing(ExpertNumber number);
/// The same for a single expert, or a shared one; adds up its layer.
double expert_number(const ExpertTable& table, Cell cell, ExpertNumber number);

/// With its unit, as people read it; a dash where not measured.
QString format_number(ExpertNumber number, double value);
/// The same for a difference, with its sign; shares in percentage points, "pp".
QString format_difference(ExpertNumber number, double value);

/// Whether two runs have the same layers and experts, so that their numbers can be compared one by one.
bool same_shape(const ExpertTable& a, const ExpertTable& b);

}  // namespace expertscope
