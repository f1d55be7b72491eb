// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/policy_view.h"

#include <utility>
#include <variant>

#include "engine/run/routing_policy.h"
#include "probes/report/limits.h"

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
  if (target.expert < 0 || target.expert >= run.experts || marks.size() >= kMostMarks) return;
  const std::string text = edit.describe();
  std::vector<int> layers = edit.layers;
  for (int layer = 0; edit.layers.empty() && layer < run.layers; ++layer)
    layers.push_back(layer);
  for (const int layer : layers) {
    const bool moe = layer >= 0 && layer < run.layers && run.moe_layer[layer] != 0;
    if (moe && marks.size() < kMostMarks) marks.push_back({layer, target.expert, target.symbol, text});
  }
}

// One spelling for policies that do the same; what cannot be read stays as it is.
std::string effective_edits(const std::string& policy_json) {
  if (policy_json.empty()) return RoutingPolicy().to_json();
  auto policy = RoutingPolicy::from_json(policy_json, "the recorded policy");
  if (!policy) return policy_json;
  std::erase_if(policy->edits, [](const RoutingEdit& edit) { return !edit.enabled; });
  for (RoutingEdit& edit : policy->edits)
    edit.note.clear();
  return policy->to_json();
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

bool same_edits(const std::string& a, const std::string& b) {
  return effective_edits(a) == effective_edits(b);
}

}  // namespace expertscope::report
