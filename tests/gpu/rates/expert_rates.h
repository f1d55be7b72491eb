// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>

#include "engine/error.h"

namespace expertscope::cuda {

/// The experts of one MoE layer, and a batch of routed tokens for them. hidden and inner are multiples of 8.
struct ExpertCase {
  int experts = 128;
  int top_k = 8;
  int hidden = 2048;  ///< hidden_size
  int inner = 768;    ///< moe_intermediate_size
  int tokens = 2048;
  double skew = 0;  ///< expert e is drawn in proportion to (e + 1)^-skew: 0 all alike, 1 Zipf's law
  std::uint64_t seed = 1;
  int repeats = 10;         ///< at least 1
  int rounds = 8;           ///< of a repeat, queued behind each other as the layers of a step are; at least 1
  double tolerance = 0.02;  ///< length of a row's difference between the ways, over the row's own length
};

/// Seconds of one round, of all repeats after one that does not count.
struct ExpertSeconds {
  double best = 0;
  double median = 0;
};

struct ExpertTimes {
  ExpertSeconds ours;                    ///< run_routed() of forward.h
  std::optional<ExpertSeconds> grouped;  ///< GroupedExperts; none: this cuBLAS cannot do it on this device
  double difference = 0;                 ///< the largest of all rows, see ExpertCase::tolerance
  int experts_used = 0;                  ///< experts with rows
  int largest_load = 0;                  ///< rows of the busiest expert
};

/// Measures both ways from routed slots to the outputs of all experts, in turns, on random BF16 weights and
/// activations on device `index`. Fails with out_of_memory, saying how much was needed, and with mismatch
/// when the ways differ by more than the tolerance: then there is nothing to compare.
Result<ExpertTimes> measure_experts(int index, const ExpertCase& what);

}  // namespace expertscope::cuda
