// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/error.h"
#include "probes/store/run_info.h"

struct sqlite3;

namespace expertscope {

/// Half-open range of run token indices, recording order. The default is the whole run.
struct TokenRange {
  std::int64_t begin = 0;
  std::int64_t end = INT64_MAX;
};

/// The slots of consecutive tokens of one MoE layer: spans are [tokens, slots]. Lives until the visitor that
/// is given it returns.
struct SlotBlock {
  std::int64_t first_token = 0;  ///< run token index
  int tokens = 0;
  int slots = 0;
  std::span<const std::uint16_t> expert;  ///< kNoExpert where none ran; other ids are as in the file
  std::span<const float> weight;          ///< combine weights; empty where not measured, or not asked for
};
enum class SlotWeights : std::uint8_t { with, without };

/// Whether rows of tokens say what each token stands for.
enum class TokenWords : std::uint8_t { with, without };

/// Reads a trace, also while another thread or process records into it. Each reader has its own connection;
/// one thread at a time.
class TraceReader {
 public:
  /// Refuses files that are not a trace, or come from a newer version, by saying so. A run that is still
  /// marked "recording" although no writer holds the file reads as "interrupted".
  static Result<std::unique_ptr<TraceReader>> open(const std::filesystem::path& file);
  ~TraceReader();

  /// While it lives, all queries of the reader see the trace as it was at the first of them, although a
  /// recorder commits in between. One inside another is part of the outer one.
  class Snapshot {
   public:
    explicit Snapshot(const TraceReader& reader);
    ~Snapshot();
    Snapshot(const Snapshot&) = delete;
    Snapshot& operator=(const Snapshot&) = delete;

   private:
    sqlite3* handle_ = nullptr;  // null: the outer one ends it
  };

  const std::filesystem::path& file() const;

  Result<std::vector<RunInfo>> runs() const;
  Result<RunInfo> run(std::int64_t run) const;
  Result<std::vector<PolicyChange>> policy_changes(std::int64_t run) const;

  Result<std::vector<SequenceInfo>> sequences(std::int64_t run) const;

  /// Aggregates of a whole run, from the aggregate rows: fast at any size.
  Result<ExpertTable> expert_table(std::int64_t run) const;
  /// The same computed from the per-token blobs of a range (the shared time filter); exact also inside a
  /// block. first_row_max then counts from the first token of the range. `sequences` (may be null): only the
  /// tokens of those of these numbers.
  Result<ExpertTable> expert_table(std::int64_t run, const TokenRange& range,
                                   const std::unordered_set<int>* sequences = nullptr) const;
  Result<std::vector<LayerStats>> layer_stats(std::int64_t run) const;

  /// Without words `bytes` stays empty: a word of some 64 KiB, and be it one, is in every row that names it.
  Result<std::vector<TokenRow>> tokens(std::int64_t run, const TokenRange& range,
                                       TokenWords words = TokenWords::with) const;
  /// What a token id stands for; empty where the run has no such token.
  Result<std::string> token_bytes(std::int64_t run, std::int32_t id) const;
  /// Every slot of one token, all MoE layers in order, empty slots left out, and the shared expert behind
  /// those of its layer; none for a token the run does not have.
  Result<std::vector<SlotRow>> token_slots(std::int64_t run, std::int64_t token) const;

  /// Visits every slot in which `expert` (or kSharedExpert) ran in `layer`, in token order. Return false from
  /// `visit` to stop.
  Status visit_expert(std::int64_t run, int layer, int expert, const TokenRange& range,
                      const std::function<bool(std::int64_t token, const SlotRow& slot)>& visit) const;
  /// Visits the routed slots of a MoE layer block by block, in token order, each block cut to the range.
  /// Return false from `visit` to stop.
  Status visit_slots(std::int64_t run, int layer, const TokenRange& range, SlotWeights weights,
                     const std::function<bool(const SlotBlock& slots)>& visit) const;
  /// Entropy [nats] of each token of the range at a decoder layer; NaN where not measured.
  Result<std::vector<float>> entropy(std::int64_t run, int layer, const TokenRange& range) const;

  /// The largest |hidden state| of each token of the range after a decoder layer; NaN where not measured.
  Result<std::vector<float>> hidden_max(std::int64_t run, int layer, const TokenRange& range) const;
  /// Attention mass on position 0 (the mean over the query heads) of each token of the range in a decoder
  /// layer; NaN where not measured.
  Result<std::vector<float>> first_token_attention(std::int64_t run, int layer,
                                                   const TokenRange& range) const;
  /// All router logits of one token at a MoE layer, [experts]; empty where not measured, and for a token the
  /// run does not have.
  Result<std::vector<float>> router_logits(std::int64_t run, int layer, std::int64_t token) const;

  /// Stops a running query from another thread; that query returns ErrorCode::cancelled.
  void interrupt();

 private:
  TraceReader();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace expertscope
