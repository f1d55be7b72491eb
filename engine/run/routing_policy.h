// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/backend/routing_table.h"
#include "engine/error.h"
#include "engine/model/config.h"

namespace expertscope {

/// How a pruned expert disappears.
enum class PruneMode : std::uint8_t {
  mask,  ///< leaves the pool: router logit = -inf, the router selects again
  zero,  ///< selected and weighted as before, its output is zero (arXiv 2507.23279)
  drop,  ///< selected, then removed; the remaining weights are rescaled to the sum they had with it
};

struct PruneEdit {
  int expert = 0;
  PruneMode mode = PruneMode::mask;
};
/// Slots that selected `from` run `to`; slots that meet on one expert add their weights and run once. Not
/// transitive.
struct RerouteEdit {
  int from = 0;
  int to = 0;
};
/// Added to the router logit before its score is computed: boost (> 0) or suppress (< 0).
struct BiasEdit {
  int expert = 0;
  float logit = 0.0f;
};
/// Always among the selected; its weight comes from its logit, with the bias of a BiasEdit if there is one.
struct ForceEdit {
  int expert = 0;
};
struct TopKEdit {
  int k = 0;
};
/// Keeps the best of the top_k experts up to and including the first whose cumulative probability exceeds p
/// (ZhenweiAn/Dynamic_MoE); of sigmoids their share of the chosen experts' sum counts. Forced experts stay
/// whatever p says. Combine it with a TopKEdit to
/// allow more than the model's top_k.
struct TopPEdit {
  float p = 1.0f;
};

/// One line of what a person asked for.
struct RoutingEdit {
  std::variant<PruneEdit, RerouteEdit, BiasEdit, ForceEdit, TopKEdit, TopPEdit> action;
  std::vector<int> layers;  ///< decoder layer indices; empty: every MoE layer ("*")
  bool enabled = true;
  std::string note;

  /// "prune expert 68 in layer 1 (mask)": for lists, tooltips and reports.
  std::string describe() const;
};

/// An ordered list of edits; later edits of the same setting win. Value type, cheap to copy.
///
/// JSON: {"version":1,"edits":[{"op":"prune","layer":1,"expert":68,"mode":"mask"}, ...]}; `layer` is an
/// index, a list or "*"; `op` is prune, reroute, bias, force, top_k or top_p; optional "enabled" and "note".
class RoutingPolicy {
 public:
  std::vector<RoutingEdit> edits;

  /// `name` stands for the file in errors, which give the edit's index and the field.
  static Result<RoutingPolicy> from_json(std::string_view json, const std::string& name);
  static Result<RoutingPolicy> load(const std::filesystem::path& file);
  /// One line; what traces hold.
  std::string to_json() const;
  /// The same for a file that people read and edit: indented, ends with a newline.
  std::string to_text() const;

  bool empty() const { return edits.empty(); }

  /// Checks every edit against the model (layers and experts exist, the layer is a MoE layer, enough experts
  /// are left for top_k) and builds the table a backend reads.
  Result<std::shared_ptr<const RoutingTable>> compile(const ModelConfig& config) const;
};

}  // namespace expertscope
