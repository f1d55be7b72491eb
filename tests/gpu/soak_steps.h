// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/capture.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/run/routing_policy.h"

namespace expertscope::testing {

/// Random choices that a seed repeats on every machine: the distributions of the standard library do not.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  int below(int count) { return static_cast<int>(random_() % static_cast<std::uint64_t>(count)); }
  int between(int first, int last) { return first + below(last - first + 1); }
  bool once_in(int count) { return below(count) == 0; }

 private:
  std::mt19937_64 random_;
};

/// What happens next to the sequences of a session.
struct SoakStep {
  std::vector<int> ended;  ///< sequences that are forgotten first
  int cut = -1;            ///< sequence that loses its last tokens; -1: none
  int keep = 0;            ///< what is left of it
  Batch batch;             ///< starts are not filled in
  bool changes_policy = false;
  RoutingPolicy policy;
  bool changes_capture = false;
  CaptureRequest capture;
};

/// The next step, given the lengths of all sequences. `top_p`: policies may use it.
SoakStep next_step(Dice& dice, const ModelConfig& config, const BackendOptions& options,
                   const std::vector<int>& lengths, bool top_p);

/// Smallest distance, over tokens and layers, between the last expert that was selected and the first that
/// was not, and likewise of groups, in what the model's router ranks them by: logits, or scores with a
/// correction bias. Where it is tiny, two backends may rightly select differently.
float selection_margin(const CaptureBlock& block, const ModelConfig& config, const Weights& weights,
                       int sequence);

}  // namespace expertscope::testing
