// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "engine/error.h"
#include "probes/analysis/expert_use.h"
#include "probes/store/run_info.h"

namespace expertscope {

/// All slots of one MoE layer of a run in memory: for who looks at one expert after the other. Of a run that
/// grows only what is new is read.
class LayerUse {
 public:
  /// Whether a run's layer fits into the memory that may be spent on it (128 MiB).
  static bool fits(const RunInfo& run);
  /// The first `run.tokens` tokens. `before` (may be null) lends what it has of the same run and layer.
  static Result<std::shared_ptr<const LayerUse>> read(const TraceReader& reader, const RunInfo& run,
                                                      int layer,
                                                      const std::shared_ptr<const LayerUse>& before,
                                                      const std::stop_token& stop);

  /// Slots of a routed expert in a range, by token.
  std::vector<UsedSlot> of(int expert, const TokenRange& range) const;

 private:
  std::int64_t run_ = 0;
  int layer_ = -1;  ///< none
  std::int64_t tokens_ = 0;
  /// Tokens with the same number of slots.
  struct Block {
    std::int64_t first_token = 0;
    std::int64_t tokens = 0;
    int slots = 0;
    std::size_t begin = 0;  ///< of its slots among all
  };
  void add(const SlotBlock& slots);

  std::vector<Block> blocks_;
  std::vector<std::uint16_t> expert_;  ///< [all slots]
  std::vector<float> weight_;          ///< [all slots]
};

}  // namespace expertscope
