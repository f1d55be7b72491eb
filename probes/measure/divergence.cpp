// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/measure/divergence.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/backend/log_prob.h"
#include "engine/run/routing_guard.h"

namespace expertscope {
namespace {

constexpr int kBeforeSlot = 0;
constexpr int kAfterSlot = 1;
/// Logits of a step, for each of the two sides.
constexpr std::int64_t kLogitsBytes = 32 << 20;

Result<std::span<const float>> step_with(Session& session, const std::shared_ptr<const RoutingTable>& table,
                                         int slot, std::span<const std::int32_t> tokens) {
  session.set_routing(table);
  Batch batch;
  batch.tokens.assign(tokens.begin(), tokens.end());
  batch.chunks.push_back({slot, 0, static_cast<int>(tokens.size())});
  batch.logits = LogitsWanted::all;
  return session.step(std::move(batch));
}

}  // namespace

double kl_divergence(std::span<const float> p, std::span<const float> q) {
  const double p_norm = log_sum_exp(p);
  const double q_norm = log_sum_exp(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double log_p = p[i] - p_norm;
    sum += std::exp(log_p) * (log_p - (q[i] - q_norm));
  }
  return std::max(sum, 0.0);
}

Result<Divergence> policy_divergence(Session& session, std::span<const std::int32_t> tokens,
                                     const RoutingPair& routing, const DivergenceProgress& progress,
                                     const std::stop_token& stop) {
  if (session.options().max_sequences <= kAfterSlot) {
    return fail(ErrorCode::invalid_argument, "comparing two routings takes two sequences, the session has {}",
                session.options().max_sequences);
  }
  if (tokens.size() > static_cast<std::size_t>(session.options().max_context)) {
    return fail(ErrorCode::invalid_argument, "{} tokens do not fit into the context of {} tokens",
                tokens.size(), session.options().max_context);
  }
  const RoutingGuard guard(session);
  for (const int slot : {kBeforeSlot, kAfterSlot}) {
    if (auto ok = session.truncate(slot, 0); !ok) return forward_error(ok);
  }
  const auto vocab = static_cast<std::size_t>(session.model().config().vocab_size);
  const std::int64_t row_bytes = std::max<std::int64_t>(static_cast<std::int64_t>(vocab * sizeof(float)), 1);
  const auto most = std::min<std::int64_t>(kLogitsBytes / row_bytes, session.options().max_batch);
  const auto chunk = static_cast<std::size_t>(std::max<std::int64_t>(most, 1));
  Divergence divergence;
  for (std::size_t at = 0; at < tokens.size(); at += chunk) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped");
    const auto part = tokens.subspan(at, std::min(chunk, tokens.size() - at));
    const auto first = step_with(session, routing.before, kBeforeSlot, part);
    if (!first) return forward_error(first);
    const std::vector<float> before(first->begin(), first->end());  // the next step overwrites the logits
    const auto after = step_with(session, routing.after, kAfterSlot, part);
    if (!after) return forward_error(after);
    for (std::size_t row = 0; row < part.size(); ++row) {
      divergence.kl_sum +=
          kl_divergence(std::span(before).subspan(row * vocab, vocab), after->subspan(row * vocab, vocab));
    }
    divergence.tokens += static_cast<std::int64_t>(part.size());
    if (progress) progress(divergence.tokens);
  }
  return divergence;
}

}  // namespace expertscope
