// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/candidates.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "engine/backend/log_prob.h"

namespace expertscope {
namespace {

/// A heap of k and not a selection among all: a handful is wanted out of a vocabulary of 150 000, and nearly
/// every logit is turned away by one comparison.
float kth_largest(std::span<const float> logits, std::size_t k) {
  if (k == 1) return *std::max_element(logits.begin(), logits.end());
  std::vector<float> heap(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(k));
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  for (const float logit : logits.subspan(k)) {
    if (!(logit > heap.front())) continue;
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.back() = logit;
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  return heap.front();
}

}  // namespace

void select_candidates(std::span<const float> logits, int count, TokenCandidates& result) {
  result.best.clear();
  result.log_sum_exp = log_sum_exp(logits);
  if (logits.empty()) return;
  const auto k = std::min(static_cast<std::size_t>(std::max(count, 1)), logits.size());
  const float least = kth_largest(logits, k);
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] >= least) result.best.push_back({static_cast<std::int32_t>(id), logits[id]});
  }
  std::sort(result.best.begin(), result.best.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
}

double log_probability(const TokenCandidates& candidates, std::int32_t token) {
  const auto at = std::find_if(candidates.best.begin(), candidates.best.end(),
                               [&](const Candidate& candidate) { return candidate.id == token; });
  if (at == candidates.best.end()) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(at->logit) - candidates.log_sum_exp;
}

}  // namespace expertscope
