// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QStringList>
#include <optional>
#include <vector>

#include "engine/run/routing_policy.h"
#include "views/models/selection.h"

namespace expertscope {

/// What the enabled edits of a policy do to one cell: drawn on the routing map.
struct CellMarks {
  std::optional<PruneMode> prune;
  int reroute_to = -1;  ///< expert that runs instead; -1: none
  float bias = 0;       ///< added to the router logit; the last edit holds
  bool force = false;
  QStringList lines;  ///< every edit on the cell in words, disabled ones included

  bool any() const { return prune || reroute_to >= 0 || bias != 0 || force; }
};

/// The marks of every (layer, expert), dense [layers, experts]; edits that name no expert mark nothing.
class EditMarks {
 public:
  EditMarks() = default;
  /// Edits that name layers or experts outside the grid are skipped; "*" means every layer of `moe_layer`.
  EditMarks(const RoutingPolicy& policy, const std::vector<std::uint8_t>& moe_layer, int experts);

  int layers() const { return layers_; }
  int experts() const { return experts_; }
  const CellMarks& at(Cell cell) const;

 private:
  void apply(const RoutingEdit& edit, const QString& line, int layer);
  CellMarks* find(int layer, int expert);

  int layers_ = 0;
  int experts_ = 0;
  std::vector<CellMarks> cells_;
};

/// The expert an edit acts on (the source of a reroute), or -1 for edits of a whole layer.
int acting_expert(const RoutingEdit& edit);

/// True when the edit acts on this very cell (its expert, or the source of its reroute).
bool edit_touches(const RoutingEdit& edit, Cell cell);

}  // namespace expertscope
