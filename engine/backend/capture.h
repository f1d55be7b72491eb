// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/backend/routing_table.h"
#include "engine/error.h"

namespace expertscope {

/// Which probes run. A probe that is off costs nothing; none changes a logit.
struct CaptureRequest {
  bool routing = false;  ///< per slot: expert, its score by the router, combine weight
  /// per slot, and per token for the shared expert: ||f_e||_2, max |f_e| and its channel, f_e the output of
  /// down_proj before the combine weight or the shared expert's gate
  bool expert_output = false;
  bool hidden = false;    ///< per (layer, token): max |hidden state after the layer| and its channel
  bool entropy = false;   ///< per (MoE layer, token): entropy of the router's scores, in nats
  bool log_prob = false;  ///< per token: log-probability given its prefix, where the logits were computed
  bool attention =
      false;  ///< per (layer, token): attention mass on position 0, the mean over the query heads
  bool router_logits =
      false;  ///< per (MoE layer, token): all router logits as the model computed them, unedited

  bool any() const {
    return routing || expert_output || hidden || entropy || log_prob || attention || router_logits;
  }
  /// Every probe but the full router logits.
  static CaptureRequest standard() { return {true, true, true, true, true, true, false}; }
};

/// Where experts are named by a number, the shared expert of a layer (Super Experts, arXiv 2507.23279).
inline constexpr int kSharedExpert = -1;

/// Marks a slot no expert ran in (top_p, dropped, or merged into another slot by a reroute).
inline constexpr std::uint16_t kNoExpert = 0xffff;

/// What the probes saw in one step. Arrays are empty where the request did not ask for them.
/// Index of a slot: (moe_layer * tokens + token) * slots + slot; moe_layer counts MoE layers only.
struct CaptureBlock {
  int tokens = 0;
  int layers = 0;      ///< decoder layers
  int moe_layers = 0;  ///< layers with a MoE block
  int slots = 0;       ///< slots per token: RoutingTable::max_top_k
  int experts = 0;     ///< num_experts

  std::vector<std::int32_t> token_id;  ///< [tokens]
  std::vector<std::int32_t> position;  ///< [tokens] position in its sequence
  std::vector<std::int32_t> sequence;  ///< [tokens] which sequence: Session's id
  std::vector<float> log_prob;         ///< [tokens] nats; NaN where not known

  std::vector<std::uint16_t> expert;  ///< [moe_layers, tokens, slots] expert that ran, or kNoExpert
  std::vector<float> probability;     ///< [moe_layers, tokens, slots] score at selection: RouterSpec::Score
  std::vector<float> weight;          ///< [moe_layers, tokens, slots] combine weight applied
  std::vector<float> output_norm;     ///< [moe_layers, tokens, slots] ||f_e||_2
  std::vector<float> output_max;      ///< [moe_layers, tokens, slots] max |f_e|
  std::vector<std::int32_t> output_channel;  ///< [moe_layers, tokens, slots] channel of that maximum

  // Of the shared expert; empty where no layer has one, channel -1 where this layer has none.
  std::vector<float> shared_norm;            ///< [moe_layers, tokens] ||f||_2
  std::vector<float> shared_max;             ///< [moe_layers, tokens] max |f|
  std::vector<std::int32_t> shared_channel;  ///< [moe_layers, tokens] channel of that maximum

  std::vector<float> entropy;                ///< [moe_layers, tokens] nats
  std::vector<float> hidden_max;             ///< [layers, tokens]
  std::vector<std::int32_t> hidden_channel;  ///< [layers, tokens]
  std::vector<float> first_token_attention;  ///< [layers, tokens] mean over heads of p(position 0)
  std::vector<float> router_logits;          ///< [moe_layers, tokens, experts]

  // What the expert cache of a backend that does not hold all experts did in this step; empty without one.
  std::vector<std::int64_t> cache_hits;    ///< [moe_layers] selected experts that were on the device
  std::vector<std::int64_t> cache_misses;  ///< [moe_layers] those that were not
  std::vector<std::int64_t> cache_bytes;   ///< [moe_layers] bytes read from the host for them

  CaptureRequest request;  ///< what was asked for
  std::shared_ptr<const RoutingTable>
      table;  ///< the table in force; a change marks where an edit took effect

  /// Sizes every array for the request; keeps capacity, so a recycled block does not allocate. `shared`: a
  /// layer has a shared expert.
  void prepare(const CaptureRequest& what, int token_count, int layer_count, int moe_layer_count,
               int slot_count, int expert_count, bool shared = false);
  std::size_t slot_index(int moe_layer, int token, int slot) const {
    return (static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(tokens) +
            static_cast<std::size_t>(token)) *
               static_cast<std::size_t>(slots) +
           static_cast<std::size_t>(slot);
  }
};

/// Where a Session delivers its blocks. Called from the thread that steps the session.
class CaptureSink {
 public:
  virtual ~CaptureSink() = default;
  /// An empty block to fill, recycled where possible.
  virtual std::unique_ptr<CaptureBlock> acquire() = 0;
  /// Takes a filled block; may wait for room. An error (disk full) stops the step that delivered it.
  virtual Status deliver(std::unique_ptr<CaptureBlock> block) = 0;
};

}  // namespace expertscope
