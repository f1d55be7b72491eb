// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/layer_use.h"

#include <algorithm>

#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

// std::find, but in steps that compilers make vector instructions of: most slots are another expert's.
const std::uint16_t* skip_others(const std::uint16_t* at, const std::uint16_t* last, std::uint16_t expert) {
  constexpr std::ptrdiff_t kStep = 32;
  for (; last - at >= kStep; at += kStep) {
    std::uint16_t found = 0;
    for (std::ptrdiff_t i = 0; i < kStep; ++i)
      found |= static_cast<std::uint16_t>(at[i] == expert);
    if (found != 0) break;
  }
  return std::find(at, last, expert);
}

}  // namespace

bool LayerUse::fits(const RunInfo& run) {
  constexpr double kMostBytes = 128.0 * (1 << 20);
  constexpr double kBytes = sizeof(std::uint16_t) + sizeof(float);  // of a slot
  return static_cast<double>(run.tokens) * std::max(run.top_k, 1) * kBytes <= kMostBytes;
}

Result<std::shared_ptr<const LayerUse>> LayerUse::read(const TraceReader& reader, const RunInfo& run,
                                                       int layer,
                                                       const std::shared_ptr<const LayerUse>& before,
                                                       const std::stop_token& stop) {
  const bool known =
      before && before->run_ == run.id && before->layer_ == layer && before->tokens_ <= run.tokens;
  if (known && before->tokens_ == run.tokens) return before;
  auto use = known ? std::make_shared<LayerUse>(*before) : std::make_shared<LayerUse>();
  use->run_ = run.id;
  use->layer_ = layer;
  const auto expected =
      static_cast<std::size_t>(run.tokens) * static_cast<std::size_t>(std::max(run.top_k, 1));
  if (fits(run)) {  // one allocation, where a token has top-k slots
    use->expert_.reserve(expected);
    use->weight_.reserve(expected);
  }
  const RunData data(reader, run);
  const auto status = data.visit_slots(layer, {use->tokens_, run.tokens}, SlotWeights::with, stop,
                                       [&use](const SlotBlock& slots) { use->add(slots); });
  if (!status) return forward_error(status);
  use->tokens_ = run.tokens;
  return use;
}

void LayerUse::add(const SlotBlock& slots) {
  const bool joins = !blocks_.empty() && blocks_.back().slots == slots.slots &&
                     blocks_.back().first_token + blocks_.back().tokens == slots.first_token;
  if (joins) {
    blocks_.back().tokens += slots.tokens;
  } else {
    blocks_.push_back({slots.first_token, slots.tokens, slots.slots, expert_.size()});
  }
  expert_.insert(expert_.end(), slots.expert.begin(), slots.expert.end());
  weight_.insert(weight_.end(), slots.weight.begin(), slots.weight.end());
  weight_.resize(expert_.size());  // where none were measured
}

std::vector<UsedSlot> LayerUse::of(int expert, const TokenRange& range) const {
  std::vector<UsedSlot> used;
  const auto wanted = static_cast<std::uint16_t>(expert);
  for (const Block& block : blocks_) {
    const std::int64_t begin = std::clamp<std::int64_t>(range.begin - block.first_token, 0, block.tokens);
    const std::int64_t end = std::clamp<std::int64_t>(range.end - block.first_token, begin, block.tokens);
    const std::uint16_t* first = expert_.data() + block.begin;
    const std::uint16_t* last = first + end * block.slots;
    for (const std::uint16_t* at = first + begin * block.slots; at != last; ++at) {
      at = skip_others(at, last, wanted);
      if (at == last) break;
      used.push_back({block.first_token + (at - first) / block.slots, weight_[block.begin + (at - first)]});
    }
  }
  return used;
}

}  // namespace expertscope
