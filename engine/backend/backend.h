// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/backend_info.h"
#include "engine/backend/capture.h"
#include "engine/backend/routing_table.h"
#include "engine/error.h"

namespace expertscope {

class Model;

/// Arithmetic of the activations. Weights are used as stored, sums are f32 in both.
enum class MathMode : std::uint8_t {
  f32,   ///< activations f32: the reference
  bf16,  ///< activations rounded to bf16 where they enter a matrix product with bf16 weights, keys and
         ///< values kept in bf16 whatever the weights are: the default, and fast
};

/// Consecutive tokens of one sequence inside a batch.
struct SequenceChunk {
  int sequence = 0;  ///< KV cache slot, 0 .. max_sequences - 1
  int start = 0;     ///< position of the first token: tokens already in the cache
  int count = 0;     ///< tokens in this chunk
};

/// For which tokens the head runs, and what of its logits leaves the backend.
enum class LogitsWanted : std::uint8_t {
  none,
  last_of_each_chunk,  ///< StepOutput::logits, one row a chunk
  all,                 ///< StepOutput::logits, one row a token
  log_probs,           ///< StepOutput::log_probs of Batch::targets; the logits stay where they are
  candidates,          ///< StepOutput::candidates, one entry a chunk; the logits stay where they are
};

/// One step's input: tokens of one or many sequences, chunk after chunk.
struct Batch {
  std::vector<std::int32_t> tokens;   ///< [sum of chunk counts]
  std::vector<SequenceChunk> chunks;  ///< at most one per sequence
  LogitsWanted logits = LogitsWanted::last_of_each_chunk;
  /// log_probs: [tokens] the token to score after each; -1: not wanted
  std::vector<std::int32_t> targets = {};
  int candidates = 0;  ///< candidates: how many, at least 1
};

/// A token and its logit.
struct Candidate {
  std::int32_t id = 0;
  float logit = 0;

  bool operator==(const Candidate&) const = default;
};

/// The most probable next tokens of a chunk: enough to sample with top-k and to score what was sampled.
struct TokenCandidates {
  std::vector<Candidate> best;  ///< descending logits, of equals the lower id first; all that equal the last
  double log_sum_exp = 0;       ///< of all logits: log p(id) = logit - log_sum_exp
};

/// What a step gives back; which field is filled follows from Batch::logits. Kept between steps, so that its
/// memory is reused.
struct StepOutput {
  std::vector<float> logits;                ///< [rows, vocab]
  std::vector<float> log_probs;             ///< [tokens] nats; NaN where the target is -1
  std::vector<TokenCandidates> candidates;  ///< [chunks]
};

/// Receives named intermediates for parity tests; null in production. `layer` is -1 outside the layers.
class TensorObserver {
 public:
  virtual ~TensorObserver() = default;
  /// `values` is [rows, columns] row-major; `name` is one of engine/backend/intermediates.h.
  virtual void observe(const char* name, int layer, std::span<const float> values, int columns) = 0;
};

struct BackendOptions {
  BackendChoice choice;
  MathMode math = MathMode::bf16;
  bool plain = false;              ///< the path that runs every model: slow, in f32, and easy to read
  int threads = 0;                 ///< 0: all the process may use; the CPU backend's
  int max_sequences = 1;           ///< KV cache slots
  int max_context = 4096;          ///< tokens per slot
  int max_batch = 512;             ///< tokens per step
  int gpu_batch = 0;               ///< tokens per step on a GPU, where larger steps pay; 0: max_batch
  int gpu_sequences = 0;           ///< KV cache slots on a GPU, to fill those steps; 0: max_sequences
  std::int64_t device_memory = 0;  ///< bytes of GPU memory a run may take; 0: what is free
};

/// Runs the forward pass. One coarse virtual call a step; nothing virtual inside a layer. Owns the KV cache.
/// Not thread-safe: one thread steps a backend.
class Backend {
 public:
  virtual ~Backend() = default;
  /// "CPU bf16 (AVX512_BF16, 2 threads)": for status lines and traces.
  virtual std::string description() const = 0;
  /// What runs and why.
  virtual const BackendInfo& info() const = 0;
  /// Runs the batch and appends it to the KV cache. `output` receives what batch.logits asks for, in batch
  /// order. `capture` may be null; when set it is prepared and filled (but for log_prob). `table` is kept
  /// until another one comes: the same pointer means the same table.
  virtual Status forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                         const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) = 0;
  virtual void set_observer(TensorObserver* observer) = 0;
};

}  // namespace expertscope
