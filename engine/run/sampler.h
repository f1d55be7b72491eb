// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/model/config.h"

namespace expertscope {

/// How the next token is chosen. Filters apply in the order of transformers: repetition penalty, temperature,
/// top_k, top_p, min_p; but top_k looks at the scores before the temperature, which scales them all alike, so
/// that which tokens it keeps does not depend on rounding.
struct SamplingOptions {
  float temperature = 0.0f;         ///< 0: greedy
  int top_k = 0;                    ///< 0: off
  float top_p = 1.0f;               ///< 1: off
  float min_p = 0.0f;               ///< 0: off; else tokens below min_p * max probability leave
  float repetition_penalty = 1.0f;  ///< 1: off (Keskar et al. 2019)
  std::uint64_t seed = 0;
};

/// What the model's makers propose in generation_config.json: greedy unless do_sample is set.
SamplingOptions proposed_sampling(const GenerationDefaults& defaults);

/// Chooses tokens. The same seed and logits give the same tokens on every machine.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);
  /// `logits` is [vocab]; `history` the tokens so far, prompt included (for the repetition penalty).
  std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> history);
  /// The same token from the most probable ones alone: at least candidates_needed() of them.
  std::int32_t sample(const TokenCandidates& candidates);
  /// How many of the most probable tokens decide; 0: the options need all logits (a repetition penalty, no
  /// top_k or one beyond kMostCandidates).
  int candidates_needed() const;

  static constexpr int kMostCandidates = 1024;

 private:
  std::size_t choose();  ///< place among scores_

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<float> scores_;  ///< of the tokens that may be chosen, in the order of their ids
  std::vector<float> scratch_;
  std::vector<std::int32_t> order_;
  std::vector<Candidate> by_id_;
};

}  // namespace expertscope
