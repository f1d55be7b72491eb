// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/capture.h"
#include "engine/error.h"
#include "engine/model/model.h"
#include "engine/run/next_token.h"

namespace expertscope {

/// An open model ready to run: sequences with a KV cache, the routing table in force, and the probes.
/// One thread steps; `set_routing` may be called from any thread and takes effect at the next step.
class Session {
 public:
  /// Takes the memory of the KV cache and of a step's arithmetic once and for all; later steps allocate
  /// logits and probes only. max_context is lowered to what the model was made for. Fails with what was
  /// needed when memory is short.
  /// The backend is that of options.choice (make_backend() in backend_choice.h says what becomes of it and
  /// when `progress` is told of weights on their way to a device).
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Model> model,
                                                 const BackendOptions& options,
                                                 const OpenProgress& progress = {},
                                                 const std::stop_token& stop = {});
  /// A session over a backend made elsewhere, for this model and with resolve_options(options).
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Model> model,
                                                 const BackendOptions& options,
                                                 std::unique_ptr<Backend> backend);
  /// The options as a session uses them: never more context than the model was made for, nor a step larger
  /// than all sequences together.
  static BackendOptions resolve_options(const Model& model, const BackendOptions& options);

  const Model& model() const { return *model_; }
  std::shared_ptr<const Model> shared_model() const { return model_; }
  const BackendOptions& options() const { return options_; }
  std::string backend_description() const { return backend_->description(); }
  const BackendInfo& backend_info() const { return backend_->info(); }
  Backend& backend() { return *backend_; }

  /// Swaps the routing table, atomically and from any thread; null restores the model's own routing.
  void set_routing(std::shared_ptr<const RoutingTable> table);
  std::shared_ptr<const RoutingTable> routing() const;

  /// From the next step on, blocks with these probes go to `sink` (not owned; null: probes off).
  void set_capture(const CaptureRequest& request, CaptureSink* sink);

  /// Tokens in the cache of a sequence slot.
  int length(int sequence) const { return lengths_[static_cast<std::size_t>(sequence)]; }
  /// Forgets all tokens from position `keep` on; a model with recurrent layers only all of them.
  Status truncate(int sequence, int keep);

  /// Runs one batch of at most max_batch tokens; fills chunk starts itself from length(). What batch.logits
  /// asks for is in the output, valid until the next step.
  Result<const StepOutput*> run(Batch batch);
  /// After something that steps failed with `error`: whether that was the GPU, in a way that the CPU may not
  /// (ErrorCode::device, out_of_memory or unsupported of the newest step).
  bool failed_on_gpu(const Error& error) const;
  /// run() for its logits: the span is [rows, vocab].
  Result<std::span<const float>> step(Batch batch);

  /// Appends tokens to one sequence in chunks of at most max_batch, checking `stop` between steps. Computes
  /// logits for the last token only; the span is [vocab]. Tokens that do not all fit are refused before the
  /// first step.
  Result<std::span<const float>> prefill(int sequence, std::span<const std::int32_t> tokens,
                                         const std::stop_token& stop = {});
  /// The same, but for the `count` most probable tokens to come after the last one: no logits leave the
  /// backend.
  Result<const TokenCandidates*> prefill_candidates(int sequence, std::span<const std::int32_t> tokens,
                                                    int count, const std::stop_token& stop = {});

 private:
  Session() = default;
  Status check_sequence(int sequence) const;
  Status check_room(int sequence, std::size_t tokens) const;
  Status check_ids(std::span<const std::int32_t> tokens) const;
  Status check(const Batch& batch) const;
  Result<const StepOutput*> append(int sequence, std::span<const std::int32_t> tokens, LogitsWanted last,
                                   int candidates, const std::stop_token& stop);
  void score_first_tokens(const Batch& batch);
  void fill_log_probs(const Batch& batch, CaptureBlock& block) const;

  std::shared_ptr<const Model> model_;
  BackendOptions options_;
  std::unique_ptr<Backend> backend_;
  std::vector<int> lengths_;
  StepOutput output_;
  NextTokenScores next_token_;
  std::vector<float> first_log_probs_;  ///< [chunks] of a step's batch, known before it runs
  CaptureRequest request_;
  CaptureSink* sink_ = nullptr;
  bool step_failed_ = false;  ///< the newest step, in the backend
  mutable std::mutex table_mutex_;
  std::shared_ptr<const RoutingTable> own_routing_;  ///< the model's, unedited
  std::shared_ptr<const RoutingTable> table_;
};

}  // namespace expertscope
