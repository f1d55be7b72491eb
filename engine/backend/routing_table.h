// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/layer_spec.h"

namespace expertscope {

/// What the router of one MoE layer does: the model's rule and the edits in force. Every vector is
/// [num_experts]. engine/backend/routing_rules.h says what they do to a token.
struct LayerRouting {
  RouterSpec model;                 ///< the rule of the model, which no edit changes
  std::vector<float> logit_bias;    ///< added to the router logit before its score; -inf removes the expert
  std::vector<std::int32_t> remap;  ///< expert that runs when this one was selected; the identity by default
  std::vector<float> output_scale;  ///< multiplies the expert's output; 1 by default, 0 = selected but silent
  std::vector<std::uint8_t> drop;   ///< 1: removed after selection, the other weights rescaled to the old sum
  std::vector<std::uint8_t> force;  ///< 1: always selected; the weight comes from logit + logit_bias
  int top_k = 0;                    ///< slots per token, 1 .. num_experts, instead of the model's
  float top_p = 1.0f;               ///< 1: off; else slots after the cumulative score passed top_p stay empty
  bool edited = false;              ///< false: everything above is the model's own behaviour
};

/// The compiled form of a RoutingPolicy: what a backend reads, immutable, swapped as a whole between two
/// steps.
struct RoutingTable {
  std::vector<LayerRouting> layers;  ///< [num_layers()]; vectors are empty for a dense layer
  int max_top_k = 0;                 ///< largest top_k of all layers: slots per token in a CaptureBlock
  std::string policy_json;           ///< the policy it was compiled from, for the trace
};

}  // namespace expertscope
