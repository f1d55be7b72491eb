// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <memory>
#include <vector>

#include "probes/report/colour_scale.h"
#include "probes/store/run_info.h"
#include "views/models/selection.h"

namespace expertscope {

/// One immutable picture of (layer, expert) values.
struct HeatmapData {
  QString name;             ///< of the number
  QString unit;             ///< beside the colour scale: "Load, %"
  bool share = false;       ///< values are shares, which people read in percent
  bool difference = false;  ///< values are signed differences
  int layers = 0;
  int experts = 0;
  std::vector<double> values;              ///< [layers, experts]; NaN: not measured
  std::vector<double> shared;              ///< [layers] of the shared expert, or empty: no layer has one
  std::vector<std::uint8_t> moe_layer;     ///< [layers]
  std::vector<std::uint8_t> shared_layer;  ///< [layers], or empty
  std::vector<std::uint8_t> unused;  ///< [layers, experts]: measured, and never ran; or empty: not known
  bool measured = false;             ///< whether any value is finite
  double low = 0;                    ///< smallest finite value; 0 when there is none
  double high = 0;                   ///< largest finite value
  // Ends of the colour scale: what few cells exceed must not take the colours of all others.
  double scale_low = 0;   ///< 0.2 percentile of the positive values; 0 when there is none
  double scale_high = 0;  ///< 99.8 percentile of the values, of a difference of their sizes

  bool empty() const { return values.empty(); }
  bool has_values() const { return measured; }
  double at(Cell cell) const {
    if (cell.is_shared()) return shared[static_cast<std::size_t>(cell.layer)];
    return values[static_cast<std::size_t>(cell.layer) * static_cast<std::size_t>(experts) +
                  static_cast<std::size_t>(cell.expert)];
  }
  /// The same as people read it: "12.5 %", "+12.5 pp", "not measured".
  QString text(Cell cell) const;
  /// A value for a cell or the scale, without its unit.
  QString short_text(double value) const;
  /// A round value: without zeros behind it.
  QString tick_text(double value) const;
  bool contains(Cell cell) const {
    if (cell.layer < 0 || cell.layer >= layers) return false;
    return cell.is_shared() ? has_shared(cell.layer) : cell.expert >= 0 && cell.expert < experts;
  }
  bool has_shared(int layer) const {
    return !shared_layer.empty() && shared_layer[static_cast<std::size_t>(layer)] != 0;
  }
  bool is_moe(int layer) const { return moe_layer[static_cast<std::size_t>(layer)] != 0; }
  bool never_used(Cell cell) const {
    return !unused.empty() && !cell.is_shared() &&
           unused[static_cast<std::size_t>(cell.layer) * static_cast<std::size_t>(experts) +
                  static_cast<std::size_t>(cell.expert)] != 0;
  }

  /// Finds `measured`, the extent and the ends of the scale; to be called when the values are there.
  void find_extent();
  ColourMap colour_map(bool dark) const {
    return !difference ? ColourMap::viridis : dark ? ColourMap::diverging_dark : ColourMap::diverging;
  }
  /// The colour scale: from 0 (linear), from scale_low (logarithmic), or symmetric around 0 (difference), to
  /// scale_high.
  ColourScale scale(bool logarithmic) const;
};

/// map - baseline, cell by cell; NaN where either was not measured. Empty where the shapes do not agree.
HeatmapData difference_of(HeatmapData map, const HeatmapData& baseline);

}  // namespace expertscope
