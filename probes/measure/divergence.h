// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>

#include "engine/error.h"
#include "engine/run/session.h"

namespace expertscope {

/// KL(p || q) = sum p ln(p / q) in nats of the softmax of two rows of logits [vocab]; at least 0.
double kl_divergence(std::span<const float> p, std::span<const float> q);

/// Two routings of one model; null is the model's own.
struct RoutingPair {
  std::shared_ptr<const RoutingTable> before;
  std::shared_ptr<const RoutingTable> after;
};

/// How far two routings are apart on tokens that both read.
struct Divergence {
  double kl_sum = 0;        ///< of KL(before || after) of the next token, nats
  std::int64_t tokens = 0;  ///< summands: the distribution after every token counts once

  double kl_mean() const { return tokens > 0 ? kl_sum / static_cast<double>(tokens) : 0; }
};

/// Tokens done.
using DivergenceProgress = std::function<void(std::int64_t done)>;

/// Runs one sequence under both routings, each with a cache of its own, both reading the same tokens (teacher
/// forcing). Uses the sequence slots 0 and 1 of the session; its routing is afterwards what it was before.
Result<Divergence> policy_divergence(Session& session, std::span<const std::int32_t> tokens,
                                     const RoutingPair& routing, const DivergenceProgress& progress = {},
                                     const std::stop_token& stop = {});

}  // namespace expertscope
