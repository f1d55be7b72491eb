// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/capture.h"
#include "engine/error.h"
#include "probes/store/aggregates.h"
#include "probes/store/column_codec.h"
#include "probes/store/database.h"
#include "probes/store/disk_reserve.h"
#include "probes/store/open_block.h"
#include "probes/store/run_info.h"

namespace expertscope {

/// A sequence of the run that begins with a block.
struct SequenceStart {
  int number = 0;     ///< in the run
  int ended = -1;     ///< sequence that used the same cache slot before; -1: none
  int block_row = 0;  ///< its first token inside the block
  std::string domain;
};

/// Tokens that were not recorded because a live view's queue was full.
struct DroppedTokens {
  int sequence = 0;
  int position = 0;
  int tokens = 0;
};

/// What a block does not say itself.
struct BlockTags {
  std::vector<std::int32_t> sequence;  ///< [tokens] sequence number in the run
  std::vector<SequenceStart> starts;
  std::vector<DroppedTokens> dropped;  ///< just before this block
  bool generated = false;
};

/// Writes one run of one trace; used by one thread. After an error only abandon() makes sense.
class TraceWriter {
 public:
  /// Creates the file or opens an existing trace, marks runs whose writer died, and adds the run.
  /// `full`: magnitudes are kept as they are, not rounded.
  static Result<std::unique_ptr<TraceWriter>> start(const std::filesystem::path& file, const RunInfo& info,
                                                    std::function<std::string(std::int32_t)> token_bytes,
                                                    bool full);

  std::int64_t run_id() const { return run_; }
  Database& database() { return *database_; }

  Status append(const CaptureBlock& block, const BlockTags& tags);
  /// Sequences and gaps behind the last block: what was dropped at the end of a run.
  Status note(const BlockTags& tags);
  /// Makes everything appended so far durable against a crash of the process: blobs and aggregates in one
  /// transaction.
  Status commit();
  bool dirty() const { return dirty_; }
  Status finish(const std::string& status, const std::string& message, const std::string& text);
  /// Tokens that are committed; kLost when the file itself is gone or damaged.
  std::int64_t kept_tokens() const { return kept_; }
  static constexpr std::int64_t kLost = -1;
  /// The failure, or what became of the file where that is the reason.
  Error explain(Error failure);
  /// Gives up what is not committed and marks the run failed: on a full disk in the room that was kept for
  /// it.
  void abandon(const std::string& message) noexcept;

 private:
  TraceWriter() = default;
  Status insert_run(const RunInfo& info);
  Status insert_stats(const RunInfo& info);
  Status begin_transaction();
  Status check_in_place();
  Status check(const CaptureBlock& block, const BlockTags& tags) const;
  Status note_block(const CaptureBlock& block);
  Status note_policy(const CaptureBlock& block);
  void note_cache(const CaptureBlock& block);
  Status note_vocabulary(std::span<const std::int32_t> ids);
  Status aggregate(int begin, int end);
  Status close_block();
  Status write_rows();
  Status delete_rows();
  Result<std::int64_t> column_id(std::size_t number);
  Status write_column(std::size_t number, int layer, const LayerColumns& columns, std::size_t values,
                      std::span<const std::byte> data);
  Status write_layer(int layer, int begin, int end);
  Status write_expert_row(std::size_t cell, const CaptureRequest& what);
  Status write_layer_row(std::size_t layer, const CaptureRequest& what);
  Status write_expert_stats();
  Status write_shared_stats(const CaptureRequest& what);
  Status write_layer_stats();
  Status write_run_tokens();

  DiskReserve reserve_;
  std::unique_ptr<Database> database_;
  std::optional<Transaction> transaction_;
  std::function<std::string(std::int32_t)> token_bytes_;
  std::int64_t run_ = 0;
  int experts_ = 0;
  std::vector<int> moe_index_;   ///< [layers] index among the MoE layers, or -1
  std::vector<int> moe_layers_;  ///< decoder layer of each MoE layer
  std::vector<int> shared_;      ///< MoE layers with a shared expert, as indices among the MoE layers

  bool full_ = false;
  std::array<std::int64_t, kStoredColumns> column_ids_{};  ///< in table column; 0: not looked up yet
  ColumnEncoder encoder_;
  OpenBlock block_;
  bool block_open_ = false;
  int written_ = 0;          ///< tokens of the open block that have rows already
  int pieces_ = 0;           ///< rows per layer they are spread over
  CaptureRequest measured_;  ///< probes that ran in any block so far
  CaptureRequest probes_;    ///< and those that were asked for at the start
  bool dirty_ = false;
  std::int64_t tokens_ = 0;
  std::int64_t kept_ = 0;
  std::int64_t dropped_ = 0;

  std::vector<ExpertStats> experts_stats_;   ///< [moe_layers, experts]
  std::vector<std::int64_t> written_count_;  ///< [moe_layers, experts] count as the file has it
  std::vector<ExpertStats> shared_stats_;    ///< [moe_layers]
  std::vector<LayerStats> layer_stats_;      ///< [layers]
  std::vector<FirstRows> first_rows_;        ///< [moe_layers]
  std::vector<FirstRows> shared_rows_;       ///< [moe_layers]
  std::vector<std::uint8_t> known_token_;    ///< by id: vocabulary row written
  std::shared_ptr<const RoutingTable> table_;
  std::string policy_;
  bool any_block_ = false;
};

}  // namespace expertscope
