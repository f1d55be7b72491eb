// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/routing_policy.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace expertscope {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

const char* mode_name(PruneMode mode) {
  return mode == PruneMode::mask ? "mask" : mode == PruneMode::zero ? "zero" : "drop";
}

/// "layer 3", "layers 1, 2, 5", "layers 0, 1, 2, 3, 4, 5 and 42 more" or "every MoE layer".
std::string layers_text(const std::vector<int>& layers) {
  constexpr std::size_t kNamed = 6;
  if (layers.empty()) return "every MoE layer";
  if (layers.size() == 1) return fmt::format("layer {}", layers.front());
  if (layers.size() <= kNamed + 1) return fmt::format("layers {}", fmt::join(layers, ", "));
  return fmt::format("layers {} and {} more", fmt::join(layers.begin(), layers.begin() + kNamed, ", "),
                     layers.size() - kNamed);
}

/// What one layer's edits add up to, before it becomes a LayerRouting.
struct LayerEdits {
  std::vector<std::uint8_t> masked;
  LayerRouting routing;
};

LayerEdits model_routing(const RouterSpec& router) {
  const auto experts = static_cast<std::size_t>(router.experts);
  LayerEdits layer;
  layer.masked.assign(experts, 0);
  layer.routing.logit_bias.assign(experts, 0.0f);
  layer.routing.remap.resize(experts);
  std::iota(layer.routing.remap.begin(), layer.routing.remap.end(), 0);
  layer.routing.output_scale.assign(experts, 1.0f);
  layer.routing.drop.assign(experts, 0);
  layer.routing.force.assign(experts, 0);
  layer.routing.top_k = router.top_k;
  layer.routing.model = router;
  return layer;
}

/// The three ways to prune are one setting of an expert: the last one given holds.
void apply_prune(const PruneEdit& edit, LayerEdits& layer) {
  const auto expert = static_cast<std::size_t>(edit.expert);
  layer.masked[expert] = edit.mode == PruneMode::mask;
  layer.routing.output_scale[expert] = edit.mode == PruneMode::zero ? 0.0f : 1.0f;
  layer.routing.drop[expert] = edit.mode == PruneMode::drop;
}

void apply(const RoutingEdit& edit, LayerEdits& layer) {
  layer.routing.edited = true;
  std::visit(Overloaded{
                 [&](const PruneEdit& e) { apply_prune(e, layer); },
                 [&](const RerouteEdit& e) { layer.routing.remap[e.from] = e.to; },
                 [&](const BiasEdit& e) { layer.routing.logit_bias[e.expert] = e.logit; },
                 [&](const ForceEdit& e) { layer.routing.force[e.expert] = 1; },
                 [&](const TopKEdit& e) { layer.routing.top_k = e.k; },
                 [&](const TopPEdit& e) { layer.routing.top_p = e.p; },
             },
             edit.action);
}

Status check_expert(std::size_t index, const char* field, int expert, const ModelConfig& config) {
  if (expert >= 0 && expert < config.num_experts()) return {};
  return fail(ErrorCode::mismatch,
              "policy edit {}: field '{}': expert {} does not exist, the model has {} (0 to {})", index,
              field, expert, config.num_experts(), config.num_experts() - 1);
}

Status check_action(std::size_t index, const RoutingEdit& edit, const ModelConfig& config) {
  return std::visit(
      Overloaded{
          [&](const PruneEdit& e) { return check_expert(index, "expert", e.expert, config); },
          [&](const RerouteEdit& e) {
            auto from = check_expert(index, "from", e.from, config);
            return from ? check_expert(index, "to", e.to, config) : from;
          },
          [&](const BiasEdit& e) -> Status {
            if (!std::isfinite(e.logit)) {
              return fail(ErrorCode::invalid_argument, "policy edit {}: field 'logit': must be finite",
                          index);
            }
            return check_expert(index, "expert", e.expert, config);
          },
          [&](const ForceEdit& e) { return check_expert(index, "expert", e.expert, config); },
          [&](const TopKEdit& e) -> Status {
            if (e.k >= 1 && e.k <= config.num_experts()) return {};
            return fail(ErrorCode::mismatch,
                        "policy edit {}: field 'k': {} is not between 1 and the model's {} experts", index,
                        e.k, config.num_experts());
          },
          [&](const TopPEdit& e) -> Status {
            if (e.p > 0.0f && e.p <= 1.0f) return {};
            return fail(ErrorCode::invalid_argument,
                        "policy edit {}: field 'p': {} is not above 0 and at most 1", index, e.p);
          },
      },
      edit.action);
}

Status check_layers(std::size_t index, const RoutingEdit& edit, const ModelConfig& config) {
  for (const int layer : edit.layers) {
    if (layer < 0 || layer >= config.num_layers()) {
      return fail(ErrorCode::mismatch,
                  "policy edit {}: field 'layer': layer {} does not exist, the model has {} (0 to {})", index,
                  layer, config.num_layers(), config.num_layers() - 1);
    }
    if (!config.is_moe(layer)) {
      return fail(ErrorCode::mismatch,
                  "policy edit {}: field 'layer': layer {} is a dense layer, it has no experts to route",
                  index, layer);
    }
  }
  return {};
}

/// Experts that masks leave in the fullest groups, of which the router chooses as many as it may.
std::ptrdiff_t left_in_best_groups(const LayerEdits& layer) {
  const auto groups = static_cast<std::size_t>(std::max(1, layer.routing.model.groups));
  const std::size_t size = layer.masked.size() / groups;
  std::vector<std::ptrdiff_t> left(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    const auto first = layer.masked.begin() + static_cast<std::ptrdiff_t>(g * size);
    left[g] = std::count(first, first + static_cast<std::ptrdiff_t>(size), 0);
  }
  std::sort(left.begin(), left.end(), std::greater<>());
  const auto chosen = std::clamp<std::ptrdiff_t>(layer.routing.model.top_groups, 1, std::ssize(left));
  return std::accumulate(left.begin(), left.begin() + chosen, std::ptrdiff_t{0});
}

/// What only all edits together can break: enough experts left to choose from, room for the forced ones.
Status check_layer(int index, const LayerEdits& layer) {
  const auto masked = std::count(layer.masked.begin(), layer.masked.end(), 1);
  const auto left = static_cast<std::ptrdiff_t>(layer.masked.size()) - masked;
  if (left < layer.routing.top_k) {
    return fail(ErrorCode::mismatch,
                "policy: layer {}: {} of {} experts are left after pruning by mask, fewer than top_k = {}",
                index, left, layer.masked.size(), layer.routing.top_k);
  }
  const std::ptrdiff_t in_groups = left_in_best_groups(layer);
  if (in_groups < layer.routing.top_k) {
    return fail(ErrorCode::mismatch,
                "policy: layer {}: the router chooses within {} of {} groups, where at most {} experts are "
                "left after pruning by mask, fewer than top_k = {}",
                index, layer.routing.model.top_groups, layer.routing.model.groups, in_groups,
                layer.routing.top_k);
  }
  const auto forced = std::count(layer.routing.force.begin(), layer.routing.force.end(), 1);
  if (forced > layer.routing.top_k) {
    return fail(ErrorCode::mismatch, "policy: layer {}: {} experts are forced, more than top_k = {}", index,
                forced, layer.routing.top_k);
  }
  for (std::size_t e = 0; e < layer.masked.size(); ++e) {
    if (layer.masked[e] && layer.routing.force[e]) {
      return fail(ErrorCode::mismatch, "policy: layer {}: expert {} is both forced and pruned by mask", index,
                  e);
    }
  }
  return {};
}

}  // namespace

std::string RoutingEdit::describe() const {
  const std::string where = layers_text(layers);
  return std::visit(
      Overloaded{
          [&](const PruneEdit& e) {
            return fmt::format("prune expert {} in {} ({})", e.expert, where, mode_name(e.mode));
          },
          [&](const RerouteEdit& e) {
            return fmt::format("reroute expert {} to {} in {}", e.from, e.to, where);
          },
          [&](const BiasEdit& e) {
            return fmt::format("{} expert {} in {} (router logit {:+g})", e.logit < 0 ? "suppress" : "boost",
                               e.expert, where, e.logit);
          },
          [&](const ForceEdit& e) { return fmt::format("force expert {} in {}", e.expert, where); },
          [&](const TopKEdit& e) { return fmt::format("top-k {} in {}", e.k, where); },
          [&](const TopPEdit& e) { return fmt::format("top-p {:g} in {}", e.p, where); },
      },
      action);
}

Result<std::shared_ptr<const RoutingTable>> RoutingPolicy::compile(const ModelConfig& config) const {
  const auto layer_count = static_cast<std::size_t>(config.num_layers());
  std::vector<LayerEdits> layers(layer_count);
  for (std::size_t n = 0; n < layer_count; ++n) {
    if (config.is_moe(static_cast<int>(n))) layers[n] = model_routing(config.layers[n].router);
  }
  for (std::size_t index = 0; index < edits.size(); ++index) {
    const RoutingEdit& edit = edits[index];
    if (auto ok = check_layers(index, edit, config); !ok) return forward_error(ok);
    if (auto ok = check_action(index, edit, config); !ok) return forward_error(ok);
    if (!edit.enabled) continue;
    for (const int layer : edit.layers)
      apply(edit, layers[layer]);
    for (std::size_t n = 0; edit.layers.empty() && n < layer_count; ++n)
      if (config.is_moe(static_cast<int>(n))) apply(edit, layers[n]);
  }
  auto table = std::make_shared<RoutingTable>();
  for (std::size_t n = 0; n < layer_count; ++n) {
    if (auto ok = check_layer(static_cast<int>(n), layers[n]); !ok) return forward_error(ok);
    for (std::size_t e = 0; e < layers[n].masked.size(); ++e) {
      if (layers[n].masked[e]) layers[n].routing.logit_bias[e] = kMasked;
    }
    table->max_top_k = std::max(table->max_top_k, layers[n].routing.top_k);
    table->layers.push_back(std::move(layers[n].routing));
  }
  table->policy_json = to_json();
  return table;
}

}  // namespace expertscope
