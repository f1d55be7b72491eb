// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/capture/sequence_marks.h"

#include <algorithm>
#include <utility>

namespace expertscope {

int SequenceMarks::number_of(int slot, int position, int row) {
  const auto current = current_.find(slot);
  if (current != current_.end() && position != 0) return current->second;
  SequenceStart start;
  start.number = next_number_++;
  start.block_row = row;
  if (current != current_.end()) start.ended = current->second;
  if (auto domain = domains_.find(slot); domain != domains_.end()) {
    start.domain = std::move(domain->second);
    domains_.erase(domain);
  }
  current_[slot] = start.number;
  starts_.push_back(std::move(start));
  return starts_.back().number;
}

BlockTags SequenceMarks::tag(const CaptureBlock& block) {
  std::vector<std::int32_t> sequence;
  sequence.reserve(block.sequence.size());
  const std::size_t rows = std::min(block.sequence.size(), block.position.size());
  for (std::size_t row = 0; row < rows; ++row) {
    sequence.push_back(number_of(block.sequence[row], block.position[row], static_cast<int>(row)));
  }
  BlockTags tags = rest();
  tags.sequence = std::move(sequence);
  tags.generated = generated_;
  return tags;
}

BlockTags SequenceMarks::rest() {
  BlockTags tags;
  tags.starts = std::exchange(starts_, {});
  tags.dropped = std::exchange(dropped_, {});
  return tags;
}

int SequenceMarks::drop(const CaptureBlock& block) {
  const std::size_t rows = std::min(block.sequence.size(), block.position.size());
  for (std::size_t row = 0; row < rows; ++row) {
    const int sequence = number_of(block.sequence[row], block.position[row], 0);
    if (dropped_.empty() || dropped_.back().sequence != sequence) {
      dropped_.push_back({sequence, block.position[row], 0});
    }
    ++dropped_.back().tokens;
  }
  return static_cast<int>(rows);
}

}  // namespace expertscope
