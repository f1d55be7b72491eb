// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace expertscope {

/// What the router of one MoE layer does besides what the model says. Every vector is [num_experts].
struct LayerRouting {
  std::vector<float> logit_bias;    ///< added to the router logit before the softmax; -inf removes the expert
  std::vector<std::int32_t> remap;  ///< expert that runs when this one was selected; the identity by default
  std::vector<float> output_scale;  ///< multiplies the expert's output; 1 by default, 0 = selected but silent
  std::vector<std::uint8_t> drop;   ///< 1: removed after selection, the other weights rescaled to the old sum
  std::vector<std::uint8_t> force;  ///< 1: always selected; the weight comes from logit + logit_bias
  int top_k = 0;                    ///< slots filled per token, 1 .. num_experts
  float top_p = 1.0f;        ///< 1: off; else slots after the cumulative probability passed top_p stay empty
  bool renormalise = false;  ///< combine weights divided by the sum over the kept slots
  bool edited = false;       ///< false: everything above is the model's own behaviour
};

/// The compiled form of a RoutingPolicy: what a backend reads, immutable, swapped as a whole between two
/// steps.
struct RoutingTable {
  std::vector<LayerRouting> layers;  ///< [num_layers()]; vectors are empty for a dense layer
  int max_top_k = 0;                 ///< largest top_k of all layers: slots per token in a CaptureBlock
  std::string policy_json;           ///< the policy it was compiled from, for the trace
};

}  // namespace expertscope
