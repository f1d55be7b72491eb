// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "probes/store/run_info.h"
#include "probes/store/trace_reader.h"

namespace expertscope {

/// The tokens of a range of a run, one array a number.
struct RunTokens {
  std::int64_t first = 0;               ///< run token index of [0]
  std::vector<std::int32_t> id;         ///< [tokens]
  std::vector<std::int32_t> sequence;   ///< [tokens]
  std::vector<std::int32_t> domain;     ///< [tokens] index of `domains`; -1: of a sequence without one
  std::vector<float> log_prob;          ///< [tokens] nats; NaN where not known
  std::vector<std::uint8_t> generated;  ///< [tokens]
  std::vector<std::string> domains;     ///< of all sequences of the run, in alphabetical order

  std::size_t size() const { return id.size(); }
  std::size_t at(std::int64_t token) const { return static_cast<std::size_t>(token - first); }
};

/// Which tokens of a run count: 1 of [tokens]. A token behind the end does not.
using CountedTokens = std::vector<std::uint8_t>;
inline bool counts(const CountedTokens* counted, std::int64_t token) {
  return counted == nullptr || (token < static_cast<std::int64_t>(counted->size()) &&
                                (*counted)[static_cast<std::size_t>(token)] != 0);
}

/// One run of a trace as analyses see it: its parts are read when they are first asked for, and kept; slots,
/// which are most of a trace, are streamed. One thread at a time.
class RunData {
 public:
  /// `reader` has to outlive it.
  RunData(const TraceReader& reader, RunInfo info) : reader_(&reader), info_(std::move(info)) {}
  static Result<RunData> open(const TraceReader& reader, std::int64_t run);

  const TraceReader& reader() const { return *reader_; }
  const RunInfo& info() const { return info_; }
  /// The run that this one is compared with; null: none. It has to outlive this one.
  const RunData* baseline() const { return baseline_; }
  void set_baseline(const RunData* baseline) { baseline_ = baseline; }
  /// From now on only tokens of this domain count, for every analysis: slots of others are empty, and what is
  /// said of others is missing (id and domain -1). Empty: all count.
  Status set_domain(const std::string& domain);
  const std::string& domain() const { return domain_; }
  /// Null: all.
  const CountedTokens* counted() const { return counted_.get(); }
  std::shared_ptr<const CountedTokens> shared_counted() const { return counted_; }
  /// The domains of its sequences, in alphabetical order.
  Result<std::vector<std::string>> domains();
  /// The layers with a router.
  std::vector<int> moe_layers() const;
  /// The same, or only `wanted` where it is not negative; the error says that it has no router.
  Result<std::vector<int>> moe_layers(std::int64_t wanted) const;
  /// Whether a layer has the expert, or the shared one for kSharedExpert; the error says what there is.
  Status check_expert(std::int64_t layer, std::int64_t expert) const;
  /// The tokens of a range that the run has.
  TokenRange covered(const TokenRange& range) const;

  /// Aggregates of a range; of the whole run they are read, else computed from the slots.
  Result<std::shared_ptr<const ExpertTable>> expert_table(const TokenRange& range);
  /// Of a part of the run without channels of the maxima and without the expert cache, which only whole runs
  /// have.
  Result<std::shared_ptr<const std::vector<LayerStats>>> layer_stats(const TokenRange& range);
  Result<std::shared_ptr<const std::vector<SequenceInfo>>> sequences();
  Result<std::shared_ptr<const RunTokens>> tokens(const TokenRange& range);

  /// The slots of a MoE layer, block by block, in token order. Every expert id is kNoExpert or one that the
  /// run has; a trace with another is damaged. ErrorCode::cancelled when stopped.
  Status visit_slots(int layer, const TokenRange& range, SlotWeights weights, const std::stop_token& stop,
                     const std::function<void(const SlotBlock& slots)>& visit) const;

 private:
  /// What was read last, and of which range.
  template <class T>
  struct Kept {
    TokenRange range;
    std::shared_ptr<const T> value;

    bool is_of(const TokenRange& other) const {
      return value != nullptr && range.begin == other.begin && range.end == other.end;
    }
  };
  bool is_whole(const TokenRange& range) const {
    return range.begin <= 0 && range.end >= info_.tokens && domain_.empty();
  }
  Result<RunTokens> read_tokens(const TokenRange& range);
  Result<std::vector<LayerStats>> add_up_layers(const TokenRange& range) const;

  const TraceReader* reader_;
  RunInfo info_;
  const RunData* baseline_ = nullptr;
  Kept<ExpertTable> table_;
  Kept<std::vector<LayerStats>> layers_;
  Kept<RunTokens> tokens_;
  std::shared_ptr<const std::vector<SequenceInfo>> sequences_;
  std::string domain_;  ///< empty: all tokens count
  std::unordered_set<int> domain_sequences_;
  std::shared_ptr<const CountedTokens> counted_;
};

/// Whether two runs read the same token at the same place of the same sequence.
bool is_same_token(const TokenRow& a, const TokenRow& b);

/// What a token stands for, and the text of a few tokens around it in its sequence.
struct TokenContext {
  std::string before;
  std::string bytes;
  std::string after;
};
/// Empty where the run does not have the token.
Result<TokenContext> token_context(const TraceReader& reader, std::int64_t run, std::int64_t token);

/// An error of code cancelled where the person asked to stop.
Status go_on(const std::stop_token& stop);

}  // namespace expertscope
