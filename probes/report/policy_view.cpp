// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/policy_view.h"

#include <utility>
#include <variant>

#include "engine/model/routing_policy.h"

namespace expertscope::report {
namespace {

struct Target {
  int expert = -1;  // -1: the edit concerns the layer as a whole
  char symbol = ' ';
};

struct FindTarget {
  Target operator()(const PruneEdit& edit) const { return {edit.expert, 'x'}; }
  Target operator()(const RerouteEdit& edit) const { return {edit.from, '>'}; }
  Target operator()(const BiasEdit& edit) const { return {edit.expert, edit.logit < 0 ? '-' : '+'}; }
  Target operator()(const ForceEdit& edit) const { return {edit.expert, '!'}; }
  Target operator()(const TopKEdit&) const { return {}; }
  Target operator()(const TopPEdit&) const { return {}; }
};

void add_marks(const RoutingEdit& edit, const RunInfo& run, std::vector<CellMark>& marks) {
  const Target target = std::visit(FindTarget(), edit.action);
  if (target.expert < 0 || target.expert >= run.experts) return;
  std::vector<int> layers = edit.layers;
  for (int layer = 0; edit.layers.empty() && layer < run.layers; ++layer)
    layers.push_back(layer);
  for (const int layer : layers) {
    const bool moe = layer >= 0 && layer < run.layers && run.moe_layer[static_cast<std::size_t>(layer)] != 0;
    if (moe) marks.push_back({layer, target.expert, target.symbol, edit.describe()});
  }
}

PolicyStep policy_step(const PolicyChange& change, const RunInfo& run) {
  PolicyStep step;
  step.token = change.token;
  auto policy = RoutingPolicy::from_json(change.policy_json, "the recorded policy");
  if (!policy) {
    step.problem = policy.error().message;
    return step;
  }
  for (const RoutingEdit& edit : policy->edits) {
    std::string text = edit.describe();
    if (!edit.note.empty()) text += " (" + edit.note + ")";
    if (!edit.enabled) {
      step.disabled.push_back(std::move(text));
      continue;
    }
    step.edits.push_back(std::move(text));
    add_marks(edit, run, step.marks);
  }
  return step;
}

}  // namespace

std::vector<PolicyStep> policy_steps(const std::vector<PolicyChange>& changes, const RunInfo& run) {
  std::vector<PolicyStep> steps;
  for (const PolicyChange& change : changes)
    steps.push_back(policy_step(change, run));
  return steps;
}

}  // namespace expertscope::report
