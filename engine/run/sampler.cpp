// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace expertscope {
namespace {

constexpr float kRemoved = -std::numeric_limits<float>::infinity();

/// Keskar et al. 2019, as transformers applies it: every token seen, once, whatever its count.
void apply_repetition_penalty(std::vector<float>& scores, std::span<const std::int32_t> history,
                              float penalty, std::vector<std::int32_t>& seen) {
  seen.assign(history.begin(), history.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const std::int32_t id : seen) {
    if (id < 0 || static_cast<std::size_t>(id) >= scores.size()) continue;
    float& score = scores[id];
    score = score < 0 ? score * penalty : score / penalty;
  }
}

/// Scores below the k-th largest leave; scores that equal it stay.
void apply_top_k(std::vector<float>& scores, int k, std::vector<float>& scratch) {
  if (k <= 0 || static_cast<std::size_t>(k) >= scores.size()) return;
  scratch.assign(scores.begin(), scores.end());
  const auto kth = scratch.begin() + (k - 1);
  std::nth_element(scratch.begin(), kth, scratch.end(), std::greater<>());
  const float threshold = *kth;
  for (float& score : scores) {
    if (score < threshold) score = kRemoved;
  }
}

std::size_t index_of_max(std::span<const float> scores) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < scores.size(); ++i) {
    if (scores[i] > scores[best]) best = i;
  }
  return best;
}

double sum_of_exp(std::span<const float> scores, float max) {
  double sum = 0;
  for (const float score : scores) {
    if (score > kRemoved) sum += std::exp(static_cast<double>(score) - max);
  }
  return sum;
}

/// Keeps the most probable tokens until their sum reaches p; the most probable always stays.
void apply_top_p(std::vector<float>& scores, float p, std::vector<std::int32_t>& heap) {
  if (!(p < 1.0f)) return;
  heap.clear();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] > kRemoved) heap.push_back(static_cast<std::int32_t>(i));
  }
  const auto score_of = [&](std::int32_t id) { return scores[id]; };
  // A heap and not a sort: usually a handful of tokens is kept out of a vocabulary of 150 000.
  const auto below = [&](std::int32_t a, std::int32_t b) {
    return score_of(a) != score_of(b) ? score_of(a) < score_of(b) : a > b;
  };
  std::make_heap(heap.begin(), heap.end(), below);
  const float max = heap.empty() ? 0.0f : score_of(heap.front());
  const double limit = static_cast<double>(p) * sum_of_exp(scores, max);
  auto end = heap.end();
  double kept = 0;
  do {
    if (end == heap.begin()) return;
    kept += std::exp(static_cast<double>(score_of(heap.front())) - max);
    std::pop_heap(heap.begin(), end, below);
    --end;
  } while (kept < limit);
  for (auto removed = heap.begin(); removed != end; ++removed) {
    scores[*removed] = kRemoved;
  }
}

/// Tokens less probable than min_p times the most probable one leave.
void apply_min_p(std::vector<float>& scores, float min_p) {
  if (!(min_p > 0.0f)) return;
  const float max = scores[index_of_max(scores)];
  const double threshold = static_cast<double>(max) + std::log(std::min(1.0, static_cast<double>(min_p)));
  for (float& score : scores) {
    if (score < threshold) score = kRemoved;
  }
}

/// `u` in [0, 1) picks along the cumulative distribution in order of token id.
std::size_t pick(std::span<const float> scores, double u) {
  const std::size_t best = index_of_max(scores);
  const float max = scores[best];
  const double target = u * sum_of_exp(scores, max);
  double sum = 0;
  std::size_t last = best;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!(scores[i] > kRemoved)) continue;
    sum += std::exp(static_cast<double>(scores[i]) - max);
    last = i;
    if (sum > target) break;
  }
  return last;
}

bool penalises(const SamplingOptions& options) {
  return options.repetition_penalty != 1.0f && options.repetition_penalty > 0.0f;
}

}  // namespace

SamplingOptions proposed_sampling(const GenerationDefaults& defaults) {
  SamplingOptions options;
  options.temperature = defaults.do_sample ? defaults.temperature : 0.0f;
  options.top_k = defaults.top_k;
  options.top_p = defaults.top_p;
  options.min_p = defaults.min_p;
  options.repetition_penalty = defaults.repetition_penalty;
  return options;
}

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

std::int32_t Sampler::sample(std::span<const float> logits, std::span<const std::int32_t> history) {
  if (logits.empty()) return 0;
  scores_.assign(logits.begin(), logits.end());
  if (penalises(options_)) {
    apply_repetition_penalty(scores_, history, options_.repetition_penalty, order_);
  }
  return static_cast<std::int32_t>(choose());
}

std::int32_t Sampler::sample(const TokenCandidates& candidates) {
  if (candidates.best.empty()) return 0;
  // In the order of ids, as they stand among all logits: sums and the final pick run along it.
  by_id_ = candidates.best;
  std::sort(by_id_.begin(), by_id_.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  scores_.clear();
  for (const Candidate& candidate : by_id_)
    scores_.push_back(candidate.logit);
  return by_id_[choose()].id;
}

int Sampler::candidates_needed() const {
  if (penalises(options_)) return 0;
  if (!(options_.temperature > 0.0f)) return 1;
  return options_.top_k > 0 && options_.top_k <= kMostCandidates ? options_.top_k : 0;
}

std::size_t Sampler::choose() {
  const std::size_t best = index_of_max(scores_);
  if (!(options_.temperature > 0.0f)) return best;
  const float max = scores_[best];
  apply_top_k(scores_, options_.top_k, scratch_);
  // Relative to the largest score, so that a tiny temperature ends in greedy and not in infinity.
  for (float& score : scores_)
    score = (score - max) / options_.temperature;
  apply_top_p(scores_, options_.top_p, order_);
  apply_min_p(scores_, options_.min_p);
  // Own conversion to [0, 1): std::uniform_real_distribution differs between standard libraries.
  const double u = static_cast<double>(random_() >> 11) * 0x1.0p-53;
  return pick(scores_, u);
}

}  // namespace expertscope
