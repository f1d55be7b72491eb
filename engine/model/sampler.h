// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "engine/model/config.h"

namespace expertscope {

/// How the next token is chosen. Filters apply in the order of transformers: repetition penalty, temperature,
/// top_k, top_p, min_p.
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

 private:
  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<float> scores_;
  std::vector<float> scratch_;
  std::vector<std::int32_t> order_;
};

}  // namespace expertscope
