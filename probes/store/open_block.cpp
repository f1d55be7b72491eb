// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/open_block.h"

#include <algorithm>

#include "probes/store/schema.h"

namespace expertscope {
namespace {

std::size_t index(int value) {
  return static_cast<std::size_t>(value);
}

bool same(const CaptureRequest& a, const CaptureRequest& b) {
  return a.routing == b.routing && a.expert_output == b.expert_output && a.hidden == b.hidden &&
         a.entropy == b.entropy && a.log_prob == b.log_prob && a.attention == b.attention &&
         a.router_logits == b.router_logits;
}

// Copies `count` tokens of `width` values for each of `groups` layers between two [groups, tokens, width]
// arrays.
template <class From, class To, class Convert>
void copy_rows(const std::vector<From>& from, int from_tokens, int from_begin, std::vector<To>& to,
               int to_begin, int groups, int width, int count, Convert convert) {
  if (from.empty()) return;
  for (int group = 0; group < groups; ++group) {
    const From* source = from.data() + (index(group) * index(from_tokens) + index(from_begin)) * index(width);
    To* target = to.data() + (index(group) * index(kBlockTokens) + index(to_begin)) * index(width);
    std::transform(source, source + index(count) * index(width), target, convert);
  }
}

constexpr auto kAsIs = [](auto value) { return value; };
constexpr auto kSharedSlot = [](std::int32_t channel) { return channel < 0 ? kNoExpert : std::uint16_t{0}; };
constexpr auto kChannel = [](std::int32_t channel) {
  return channel < 0 || channel >= kNoChannel ? kNoChannel : static_cast<std::uint16_t>(channel);
};

// The part of one layer's [kBlockTokens, width] inside an array of all layers; empty when not measured.
template <class T>
std::span<const T> rows(const std::vector<T>& values, int group, int width, int begin, int end) {
  if (values.empty()) return {};
  const std::size_t from = (index(group) * index(kBlockTokens) + index(begin)) * index(width);
  return std::span<const T>(values).subspan(from, index(end - begin) * index(width));
}

}  // namespace

int OpenBlock::room() const {
  return kBlockTokens - tokens_;
}

void OpenBlock::start(std::int64_t first_token, const CaptureBlock& like) {
  first_token_ = first_token;
  tokens_ = 0;
  slots_ = like.slots;
  experts_ = like.experts;
  layers_ = like.layers;
  moe_layers_ = like.moe_layers;
  request_ = like.request;
  const std::size_t block = index(kBlockTokens);
  const std::size_t per_moe = index(moe_layers_) * block;
  const std::size_t per_slot = per_moe * index(slots_);
  token_id_.resize(block);
  sequence_.resize(block);
  position_.resize(block);
  generated_.resize(block);
  log_prob_.resize(request_.log_prob ? block : 0);
  expert_.resize(request_.routing || request_.expert_output ? per_slot : 0);
  weight_.resize(request_.routing ? per_slot : 0);
  probability_.resize(request_.routing ? per_slot : 0);
  output_norm_.resize(request_.expert_output ? per_slot : 0);
  output_max_.resize(request_.expert_output ? per_slot : 0);
  output_channel_.resize(request_.expert_output ? per_slot : 0);
  const std::size_t per_shared = like.shared_max.empty() ? 0 : per_moe;
  shared_expert_.resize(per_shared);
  shared_norm_.resize(per_shared);
  shared_max_.resize(per_shared);
  shared_channel_.resize(per_shared);
  entropy_.resize(request_.entropy ? per_moe : 0);
  hidden_max_.resize(request_.hidden ? index(layers_) * block : 0);
  hidden_channel_.resize(request_.hidden ? index(layers_) * block : 0);
  first_token_attention_.resize(request_.attention ? index(layers_) * block : 0);
  router_logits_.resize(request_.router_logits ? per_moe * index(experts_) : 0);
}

bool OpenBlock::accepts(const CaptureBlock& block) const {
  return tokens_ < kBlockTokens && block.slots == slots_ && block.experts == experts_ &&
         block.layers == layers_ && block.moe_layers == moe_layers_ && same(block.request, request_);
}

void OpenBlock::append(const CaptureBlock& block, int begin, int count,
                       std::span<const std::int32_t> sequence, bool generated) {
  copy_rows(block.token_id, block.tokens, begin, token_id_, tokens_, 1, 1, count, kAsIs);
  copy_rows(block.position, block.tokens, begin, position_, tokens_, 1, 1, count, kAsIs);
  copy_rows(block.log_prob, block.tokens, begin, log_prob_, tokens_, 1, 1, count, kAsIs);
  std::copy_n(sequence.begin() + begin, count, sequence_.begin() + tokens_);
  std::fill_n(generated_.begin() + tokens_, count, static_cast<std::uint8_t>(generated ? 1 : 0));
  append_slots(block, begin, count);
  copy_rows(block.shared_channel, block.tokens, begin, shared_expert_, tokens_, moe_layers_, 1, count,
            kSharedSlot);
  copy_rows(block.shared_norm, block.tokens, begin, shared_norm_, tokens_, moe_layers_, 1, count, kAsIs);
  copy_rows(block.shared_max, block.tokens, begin, shared_max_, tokens_, moe_layers_, 1, count, kAsIs);
  copy_rows(block.shared_channel, block.tokens, begin, shared_channel_, tokens_, moe_layers_, 1, count,
            kChannel);
  copy_rows(block.entropy, block.tokens, begin, entropy_, tokens_, moe_layers_, 1, count, kAsIs);
  copy_rows(block.hidden_max, block.tokens, begin, hidden_max_, tokens_, layers_, 1, count, kAsIs);
  copy_rows(block.hidden_channel, block.tokens, begin, hidden_channel_, tokens_, layers_, 1, count, kChannel);
  copy_rows(block.first_token_attention, block.tokens, begin, first_token_attention_, tokens_, layers_, 1,
            count, kAsIs);
  copy_rows(block.router_logits, block.tokens, begin, router_logits_, tokens_, moe_layers_, experts_, count,
            kAsIs);
  tokens_ += count;
}

void OpenBlock::append_slots(const CaptureBlock& block, int begin, int count) {
  const auto copy = [&](const auto& from, auto& to, auto convert) {
    copy_rows(from, block.tokens, begin, to, tokens_, moe_layers_, slots_, count, convert);
  };
  copy(block.expert, expert_, kAsIs);
  copy(block.weight, weight_, kAsIs);
  copy(block.probability, probability_, kAsIs);
  copy(block.output_norm, output_norm_, kAsIs);
  copy(block.output_max, output_max_, kAsIs);
  copy(block.output_channel, output_channel_, kChannel);
}

std::span<const std::int32_t> OpenBlock::token_id(int begin, int end) const {
  return rows(token_id_, 0, 1, begin, end);
}
std::span<const std::int32_t> OpenBlock::sequence(int begin, int end) const {
  return rows(sequence_, 0, 1, begin, end);
}
std::span<const std::int32_t> OpenBlock::position(int begin, int end) const {
  return rows(position_, 0, 1, begin, end);
}
std::span<const std::uint8_t> OpenBlock::generated(int begin, int end) const {
  return rows(generated_, 0, 1, begin, end);
}
std::span<const float> OpenBlock::log_prob(int begin, int end) const {
  return rows(log_prob_, 0, 1, begin, end);
}

SlotColumns OpenBlock::slots(int moe_layer, int begin, int end) const {
  const auto column = [&](const auto& values) { return rows(values, moe_layer, slots_, begin, end); };
  return {first_token_ + begin, end - begin,         slots_,
          column(expert_),      column(weight_),     column(probability_),
          column(output_norm_), column(output_max_), column(output_channel_)};
}

SlotColumns OpenBlock::shared(int moe_layer, int begin, int end) const {
  const auto column = [&](const auto& values) { return rows(values, moe_layer, 1, begin, end); };
  return {first_token_ + begin,
          end - begin,
          1,
          column(shared_expert_),
          {},
          {},
          column(shared_norm_),
          column(shared_max_),
          column(shared_channel_)};
}

LayerColumns OpenBlock::layer(int layer, int moe_layer, int begin, int end) const {
  LayerColumns columns{first_token_ + begin, end - begin, {}, {}, {}, {}};
  if (moe_layer >= 0) columns.entropy = rows(entropy_, moe_layer, 1, begin, end);
  columns.hidden_max = rows(hidden_max_, layer, 1, begin, end);
  columns.hidden_channel = rows(hidden_channel_, layer, 1, begin, end);
  columns.first_token_attention = rows(first_token_attention_, layer, 1, begin, end);
  return columns;
}

std::span<const float> OpenBlock::router_logits(int moe_layer, int begin, int end) const {
  return rows(router_logits_, moe_layer, experts_, begin, end);
}

}  // namespace expertscope
