// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <vector>

#include "views/models/expert_numbers.h"

namespace expertscope {

/// Where an expert stands, from 1; of equal numbers the lower expert comes first.
struct Standing {
  int rank = 0;  ///< 0: it has no such number
  int of = 0;    ///< experts that have
};
/// Among the routed experts of its layer, or of all layers.
Standing standing_of(const ExpertTable& table, Cell cell, ExpertNumber number, bool in_all_layers);

/// The place of an expert in its layer by one number.
struct Rank {
  QString name;
  Standing standing;
};
/// By every number that it has.
std::vector<Rank> ranks_in_layer(const ExpertTable& table, Cell cell);

/// One number of an expert, as it stands on its page.
struct KeyFigure {
  QString name;
  QString value;
  QString rank;     ///< "7"; may be empty
  QString of;       ///< "of 128", "at token 17"; may be empty
  QString details;  ///< all digits
};
/// The four that are read first, then the others. A shared expert has those of its output alone.
std::vector<KeyFigure> key_figures(const ExpertTable& table, Cell cell);

/// The same expert in two runs, number by number, as HTML; empty where the runs have not the same shape.
QString comparison_html(const ExpertTable& run, const ExpertTable& baseline, Cell cell,
                        const QString& run_name, const QString& baseline_name);

}  // namespace expertscope
