// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/run/session.h"

namespace expertscope::parity {

/// Everything a session said about the tokens of one sequence, step after step.
struct SequenceRecord {
  std::vector<float> logits;                      ///< [tokens, vocab]
  std::vector<float> embedding;                   ///< [tokens, hidden]
  std::vector<std::vector<float>> hidden;         ///< [layer][tokens, hidden]
  std::vector<float> norm;                        ///< [tokens, hidden]
  std::vector<float> log_prob;                    ///< [tokens]
  std::vector<std::vector<float>> hidden_max;     ///< [layer][tokens]
  std::vector<std::vector<int>> hidden_channel;   ///< [layer][tokens]
  std::vector<std::vector<float>> first_token;    ///< [layer][tokens] attention mass on position 0
  std::vector<std::vector<int>> expert;           ///< [moe layer][tokens, slots]; -1: none
  std::vector<std::vector<float>> probability;    ///< [moe layer][tokens, slots]
  std::vector<std::vector<float>> weight;         ///< [moe layer][tokens, slots]
  std::vector<std::vector<float>> output_norm;    ///< [moe layer][tokens, slots]
  std::vector<std::vector<float>> output_max;     ///< [moe layer][tokens, slots]
  std::vector<std::vector<int>> output_channel;   ///< [moe layer][tokens, slots]
  std::vector<std::vector<float>> contribution;   ///< [moe layer][tokens, slots]
  std::vector<std::vector<float>> shared_norm;    ///< [moe layer][tokens]; empty without a shared expert
  std::vector<std::vector<float>> shared_max;     ///< [moe layer][tokens]
  std::vector<std::vector<int>> shared_channel;   ///< [moe layer][tokens]
  std::vector<std::vector<float>> entropy;        ///< [moe layer][tokens]
  std::vector<std::vector<float>> router_logits;  ///< [moe layer][tokens, experts]
  int slots = 0;
};

/// Every probe there is.
CaptureRequest all_probes();

/// Runs a session and keeps what it says, by sequence.
class Recording final : public CaptureSink, public TensorObserver {
 public:
  /// Starts to watch `session`; stops when it goes out of scope.
  Recording(Session& session, const CaptureRequest& request);
  ~Recording() override;

  /// One step over chunks of several sequences: sequence -> tokens. Logits of all tokens.
  Status step(const std::map<int, std::vector<std::int32_t>>& chunks);
  const SequenceRecord& sequence(int id) { return records_[id]; }

  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override;
  void observe(const char* name, int layer, std::span<const float> values, int columns) override;

 private:
  void take_block(const CaptureBlock& block, std::size_t row, SequenceRecord& record) const;

  Session& session_;
  std::vector<int> sequence_of_row_;  ///< of the step in progress
  std::map<int, SequenceRecord> records_;
};

/// Splits `tokens` into pieces of the given sizes, the last size repeated, and runs them one after another on
/// sequence 0.
SequenceRecord run_in_pieces(Session& session, const std::vector<std::int32_t>& tokens,
                             const std::vector<int>& sizes);

}  // namespace expertscope::parity
