// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/backend/capture.h"
#include "engine/model/config.h"
#include "engine/model/model.h"

namespace expertscope {

/// What a run was made with; one row of the table `run` (run_columns.h).
struct RunInfo {
  std::int64_t id = 0;
  std::string kind;         ///< "generate" or "profile"
  std::string started_at;   ///< ISO 8601, UTC
  std::string finished_at;  ///< the same; empty until it is closed
  std::string
      status;  ///< "recording", "finished", "stopped", "failed", "interrupted" (found unfinished on opening)
  std::string message;  ///< why it failed or was stopped; else empty
  std::string writer;   ///< writer_identity() of the thread that records it

  ModelIdentity model;
  std::string architecture;
  int layers = 0;   ///< decoder layers
  int experts = 0;  ///< routed experts per MoE layer
  int top_k = 0;    ///< the model's own top_k
  int hidden_size = 0;
  std::vector<std::uint8_t> moe_layer;     ///< [layers] 1 where the layer has a router
  std::vector<std::uint8_t> shared_layer;  ///< [layers] 1 where it has a shared expert, too; empty: no layer

  std::string program_version;
  std::string backend;         ///< Session::backend_description()
  std::string backend_reason;  ///< why this one
  std::string device;          ///< name of the GPU; empty for the CPU, like the fields below
  std::string device_uuid;
  std::string driver;              ///< of the GPU, and the newest CUDA it runs
  std::int64_t device_memory = 0;  ///< bytes; 0: the CPU
  std::string math;                ///< "f32" or "bf16"
  std::string sampling;            ///< JSON of the sampling settings; empty for profile runs
  std::string dataset;             ///< data set name, or the prompt's first words for generate runs
  std::string dataset_sha256;
  std::string prompt;  ///< generate runs
  std::string text;    ///< generate runs: the generated text
  CaptureRequest probes;

  std::int64_t tokens = 0;          ///< committed tokens
  std::int64_t dropped_tokens = 0;  ///< tokens whose blocks were dropped by a live view's full queue
};

/// One policy edit as recorded: the policy in force from a token of the run on.
struct PolicyChange {
  std::int64_t token = 0;  ///< index in the run, in recording order, of the first token it applied to
  std::string policy_json;
};

/// What the file says about one (layer, expert) of a run; sums are over the slots the expert ran in. Of a
/// shared expert, which every token runs through: over all tokens, and without probability and weight.
struct ExpertStats {
  std::int64_t count = 0;          ///< slots routed to the expert
  double probability_sum = 0;      ///< router probabilities
  double weight_sum = 0;           ///< combine weights
  double norm_sum = 0;             ///< ||f_e||_2
  double weighted_norm_sum = 0;    ///< combine weight * ||f_e||_2
  double output_max = 0;           ///< max |f_e|
  int output_channel = -1;         ///< channel of output_max; -1: not measured
  std::int64_t output_token = -1;  ///< run token index of output_max
  double first_row_max =
      0;  ///< max |f_e| over the first routed token of each sequence only (upstream's hook)
  int first_row_channel = -1;
  std::int64_t first_row_token = -1;
};

/// Dense [layers, experts] table; rows of dense layers stay zero. Expert kSharedExpert is the shared one.
struct ExpertTable {
  int layers = 0;
  int experts = 0;
  std::int64_t tokens = 0;  ///< tokens it covers
  std::vector<ExpertStats> cells;
  std::vector<std::uint8_t> moe_layer;     ///< [layers]
  std::vector<ExpertStats> shared;         ///< [layers], or empty: no layer has a shared expert
  std::vector<std::uint8_t> shared_layer;  ///< [layers], or empty

  bool has_shared(int layer) const {
    return !shared_layer.empty() && shared_layer[static_cast<std::size_t>(layer)] != 0;
  }
  /// Whether the layer has experts, and this one among them.
  bool has(int layer, int expert) const {
    return layer >= 0 && layer < layers && moe_layer[static_cast<std::size_t>(layer)] != 0 &&
           expert >= first_expert(layer) && expert < experts;
  }
  /// The first expert of a MoE layer: the shared one where there is one.
  int first_expert(int layer) const { return has_shared(layer) ? kSharedExpert : 0; }
  const ExpertStats& at(int layer, int expert) const {
    if (expert == kSharedExpert) return shared[static_cast<std::size_t>(layer)];
    return cells[static_cast<std::size_t>(layer) * static_cast<std::size_t>(experts) +
                 static_cast<std::size_t>(expert)];
  }
  ExpertStats& at(int layer, int expert) {
    return const_cast<ExpertStats&>(std::as_const(*this).at(layer, expert));
  }
};

/// What the expert cache of a MoE layer did: a backend that does not hold all experts reads the others from
/// the host when they are selected.
struct CacheStats {
  std::int64_t hits = 0;    ///< selected experts that were on the device
  std::int64_t misses = 0;  ///< those that were not
  std::int64_t bytes = 0;   ///< read from the host for them

  /// Hits in all selections, 0 .. 1; NaN when there was none.
  double hit_rate() const {
    return static_cast<double>(hits) / (static_cast<double>(hits) + static_cast<double>(misses));
  }
};

/// Per decoder layer, over the run's tokens.
struct LayerStats {
  std::int64_t tokens = 0;
  std::int64_t entropy_tokens = 0;  ///< those with an entropy: the probe may be off for a part of a run
  double entropy_sum = 0;           ///< nats; MoE layers only
  double entropy_min = 0;
  double entropy_max = 0;
  double hidden_max = 0;  ///< max |hidden state after the layer|
  int hidden_channel = -1;
  std::int64_t hidden_token = -1;
  std::int64_t attention_tokens = 0;  ///< tokens with an attention mass on position 0
  double attention_sum = 0;           ///< of that mass, the mean over the query heads: 0 .. 1
  double attention_min = 0;
  double attention_max = 0;
  std::optional<CacheStats> cache;  ///< empty where the backend held all experts

  double attention_mean() const {
    return attention_tokens > 0 ? attention_sum / static_cast<double>(attention_tokens) : 0;
  }
};

/// A recorded token.
struct TokenRow {
  std::int64_t index = 0;  ///< in the run, recording order
  int sequence = 0;        ///< sequence number in the run
  int position = 0;        ///< in its sequence
  std::int32_t id = 0;
  std::optional<float> log_prob;
  std::string bytes;       ///< what the token stands for
  bool generated = false;  ///< false: part of the prompt or of the data
};

/// A sequence of a run: one prompt with its continuation, or one piece of a document.
struct SequenceInfo {
  int number = 0;
  std::int64_t first_token = 0;  ///< run token index
  std::string domain;            ///< of its document; may be empty
};

/// What one token did in one MoE layer, slot by slot. The shared expert has slot -1, and NaN for probability
/// and weight.
struct SlotRow {
  int layer = 0;  ///< decoder layer
  int slot = 0;
  int expert = 0;  ///< or kSharedExpert
  float probability = 0;
  float weight = 0;
  float output_norm = 0;
  float output_max = 0;
  int output_channel = -1;
};

}  // namespace expertscope
