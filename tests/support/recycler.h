// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>

#include "engine/backend/capture.h"

namespace expertscope::testing {

/// Keeps the last block and gives it out again: probes that cost what they cost, without a file behind them.
class Recycler : public CaptureSink {
 public:
  std::unique_ptr<CaptureBlock> acquire() override {
    return block_ ? std::move(block_) : std::make_unique<CaptureBlock>();
  }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    block_ = std::move(block);
    return {};
  }
  /// The last block; null while it is given out.
  const CaptureBlock* last() const { return block_.get(); }

 private:
  std::unique_ptr<CaptureBlock> block_;
};

}  // namespace expertscope::testing
