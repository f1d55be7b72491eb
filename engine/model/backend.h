// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/model/capture.h"
#include "engine/model/routing_table.h"

namespace expertscope {

class Model;

/// Arithmetic of the activations. Weights are used as stored, sums are f32 in both.
enum class MathMode : std::uint8_t {
  f32,   ///< activations f32: the reference
  bf16,  ///< activations rounded to bf16 where they enter a matrix product with bf16 weights: the default,
         ///< and fast
};

/// Consecutive tokens of one sequence inside a batch.
struct SequenceChunk {
  int sequence = 0;  ///< KV cache slot, 0 .. max_sequences - 1
  int start = 0;     ///< position of the first token: tokens already in the cache
  int count = 0;     ///< tokens in this chunk
};

/// For which tokens the head runs.
enum class LogitsWanted : std::uint8_t { none, last_of_each_chunk, all };

/// One step's input: tokens of one or many sequences, chunk after chunk.
struct Batch {
  std::vector<std::int32_t> tokens;   ///< [sum of chunk counts]
  std::vector<SequenceChunk> chunks;  ///< at most one per sequence
  LogitsWanted logits = LogitsWanted::last_of_each_chunk;
};

/// Receives named intermediates for parity tests; null in production. `layer` is -1 outside the layers.
class TensorObserver {
 public:
  virtual ~TensorObserver() = default;
  /// `values` is [rows, columns] row-major. Names: "embedding", "hidden" (after a layer), "norm".
  virtual void observe(const char* name, int layer, std::span<const float> values, int columns) = 0;
};

struct BackendOptions {
  MathMode math = MathMode::bf16;
  int threads = 0;         ///< 0: all the process may use
  int max_sequences = 1;   ///< KV cache slots
  int max_context = 4096;  ///< tokens per slot
  int max_batch = 512;     ///< tokens per step
};

/// Runs the forward pass. One coarse virtual call a step; nothing virtual inside a layer. Owns the KV cache.
/// Not thread-safe: one thread steps a backend.
class Backend {
 public:
  virtual ~Backend() = default;
  /// "CPU bf16 (AVX512_BF16, 2 threads)": for status lines and traces.
  virtual std::string description() const = 0;
  /// Runs the batch and appends it to the KV cache. `logits` is resized to [rows, vocab] for the rows asked
  /// for, in batch order. `capture` may be null; when set it is prepared and filled (but for log_prob).
  virtual Status forward(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                         std::vector<float>& logits, CaptureBlock* capture) = 0;
  virtual void set_observer(TensorObserver* observer) = 0;
};

/// The CPU backend. Fails when memory for the KV cache and workspace is not there, saying how much was
/// needed.
Result<std::unique_ptr<Backend>> make_cpu_backend(std::shared_ptr<const Model> model,
                                                  const BackendOptions& options);

}  // namespace expertscope
