// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/edit_marks.h"

#include <algorithm>

namespace expertscope {

int acting_expert(const RoutingEdit& edit) {
  struct Visitor {
    int operator()(const PruneEdit& e) const { return e.expert; }
    int operator()(const RerouteEdit& e) const { return e.from; }
    int operator()(const BiasEdit& e) const { return e.expert; }
    int operator()(const ForceEdit& e) const { return e.expert; }
    int operator()(const TopKEdit&) const { return -1; }
    int operator()(const TopPEdit&) const { return -1; }
  };
  return std::visit(Visitor{}, edit.action);
}

EditMarks::EditMarks(const RoutingPolicy& policy, const std::vector<std::uint8_t>& moe_layer, int experts)
    : layers_(static_cast<int>(moe_layer.size())),
      experts_(experts),
      cells_(moe_layer.size() * static_cast<std::size_t>(std::max(experts, 0))) {
  for (const RoutingEdit& edit : policy.edits) {
    QString line = QString::fromStdString(edit.describe());
    if (!edit.enabled) line += QStringLiteral(" (off)");
    for (const int layer : edit.layers) {
      apply(edit, line, layer);
    }
    for (int layer = 0; edit.layers.empty() && layer < layers_; ++layer) {
      if (moe_layer[layer] != 0) apply(edit, line, layer);
    }
  }
}

const CellMarks& EditMarks::at(Cell cell) const {
  static const CellMarks none;
  if (cell.layer < 0 || cell.layer >= layers_ || cell.expert < 0 || cell.expert >= experts_) return none;
  return cells_[static_cast<std::size_t>(cell.layer) * static_cast<std::size_t>(experts_) +
                static_cast<std::size_t>(cell.expert)];
}

CellMarks* EditMarks::find(int layer, int expert) {
  if (layer < 0 || layer >= layers_ || expert < 0 || expert >= experts_) return nullptr;
  return &cells_[static_cast<std::size_t>(layer) * static_cast<std::size_t>(experts_) +
                 static_cast<std::size_t>(expert)];
}

void EditMarks::apply(const RoutingEdit& edit, const QString& line, int layer) {
  CellMarks* marks = find(layer, acting_expert(edit));
  if (marks == nullptr) return;
  marks->lines << line;
  if (!edit.enabled) return;
  if (const auto* prune = std::get_if<PruneEdit>(&edit.action)) marks->prune = prune->mode;
  if (const auto* reroute = std::get_if<RerouteEdit>(&edit.action)) marks->reroute_to = reroute->to;
  if (const auto* bias = std::get_if<BiasEdit>(&edit.action)) marks->bias = bias->logit;
  if (std::holds_alternative<ForceEdit>(edit.action)) marks->force = true;
}

bool edit_touches(const RoutingEdit& edit, Cell cell) {
  if (cell.expert < 0 || acting_expert(edit) != cell.expert) return false;  // -1 is a whole layer
  return edit.layers.empty() ||
         std::find(edit.layers.begin(), edit.layers.end(), cell.layer) != edit.layers.end();
}

}  // namespace expertscope
