// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/open_block.h"

#include <algorithm>

#include "probes/store/schema.h"

namespace expertscope {
namespace {

std::size_t index(int value) {
  return static_cast<std::size_t>(value);
}

BlockShape shape_of(const BlockShape& block) {
  BlockShape shape = block;
  shape.tokens = kBlockTokens;
  return shape;
}

}  // namespace

int OpenBlock::room() const {
  return kBlockTokens - tokens_;
}

void OpenBlock::start(std::int64_t first_token, const CaptureBlock& like) {
  first_token_ = first_token;
  tokens_ = 0;
  shape_ = shape_of(like);
  request_ = like.request;
  const auto size = [&](const ProbeColumn& column, auto& values) {
    const bool always = column.probes[0] == nullptr;
    values.resize(always ? shape_.values(column.granularity) : shape_.values(column, request_));
  };
  for_each_stored_column(size, columns_);
}

bool OpenBlock::accepts(const CaptureBlock& block) const {
  return tokens_ < kBlockTokens && shape_of(block) == shape_ && block.request == request_;
}

void OpenBlock::append(const CaptureBlock& block, int begin, int count,
                       std::span<const std::int32_t> sequence, bool generated) {
  std::copy_n(block.token_id.begin() + begin, count, columns_.token_id.begin() + tokens_);
  std::copy_n(block.position.begin() + begin, count, columns_.position.begin() + tokens_);
  std::copy_n(sequence.begin() + begin, count, columns_.sequence.begin() + tokens_);
  std::fill_n(columns_.generated.begin() + tokens_, count, static_cast<std::uint8_t>(generated ? 1 : 0));
  const auto copy = [&](const ProbeColumn& column, const auto& from, auto& to) {
    const auto width = index(shape_.width(column.granularity));
    const int groups = to.empty() ? 0 : shape_.groups(column.granularity);
    for (int group = 0; group < groups; ++group)
      std::copy_n(from.data() + (index(group) * index(block.tokens) + index(begin)) * width,
                  index(count) * width,
                  to.data() + (index(group) * index(kBlockTokens) + index(tokens_)) * width);
  };
  for_each_column(copy, block, columns_);
  tokens_ += count;
}

std::span<const std::int32_t> OpenBlock::sequence(int begin, int end) const {
  return std::span<const std::int32_t>(columns_.sequence).subspan(index(begin), index(end - begin));
}

LayerColumns OpenBlock::layer(int layer, int moe_layer, int begin, int end) const {
  LayerColumns found;
  found.first_token = first_token_ + begin;
  found.tokens = end - begin;
  found.slots = shape_.slots;
  const auto take = [&]<class T>(const ProbeColumn& column, const std::vector<T>& values,
                                 std::span<const T>& rows) {
    const bool of_tokens = column.granularity == Granularity::token;
    const int group = of_tokens ? 0 : column.granularity == Granularity::layer ? layer : moe_layer;
    if (of_tokens != (layer == kTokenLayer) || group < 0 || values.empty()) return;
    const auto width = index(shape_.width(column.granularity));
    rows = std::span<const T>(values).subspan((index(group) * index(kBlockTokens) + index(begin)) * width,
                                              index(end - begin) * width);
  };
  for_each_stored_column(take, columns_, found);
  return found;
}

}  // namespace expertscope
