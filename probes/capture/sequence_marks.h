// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/capture.h"
#include "probes/store/trace_writer.h"

namespace expertscope {

/// Numbers the sequences of a run. A block names cache slots, which are used again and again; a trace counts
/// sequences through the run.
class SequenceMarks {
 public:
  void set_domain(int slot, const std::string& domain) { domains_[slot] = domain; }
  void mark_generated() { generated_ = true; }

  /// The tags of a block that is about to be recorded.
  BlockTags tag(const CaptureBlock& block);
  /// Notes a block that is dropped; the next tag() says so. The number of its tokens.
  int drop(const CaptureBlock& block);
  /// What no tag() has said yet: blocks that were dropped at the end of the run.
  BlockTags rest();

 private:
  int number_of(int slot, int position, int row);

  int next_number_ = 0;
  bool generated_ = false;
  std::map<int, int> current_;          ///< slot -> sequence number
  std::map<int, std::string> domains_;  ///< slot -> domain of the sequence that begins next
  std::vector<SequenceStart> starts_;   ///< since the last block that was recorded
  std::vector<DroppedTokens> dropped_;
};

}  // namespace expertscope
