// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/parity/record.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "engine/backend/intermediates.h"

namespace expertscope::parity {
namespace {

/// Appends `count` values of row `row` of an array [layers, rows, count] to each layer's list.
template <class To, class From>
void append(std::vector<std::vector<To>>& lists, const std::vector<From>& values, std::size_t layers,
            std::size_t rows, std::size_t row, std::size_t count) {
  if (values.empty()) return;
  lists.resize(layers);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>((layer * rows + row) * count);
    lists[layer].insert(lists[layer].end(), first, first + static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace

CaptureRequest all_probes() {
  CaptureRequest request;
  for (const Probe& probe : kProbes)
    request.*probe.flag = true;
  return request;
}

Recording::Recording(Session& session, const CaptureRequest& request) : session_(session) {
  session.set_capture(request, this);
  session.backend().set_observer(this);
}

Recording::~Recording() {
  session_.set_capture({}, nullptr);
  session_.backend().set_observer(nullptr);
}

Status Recording::step(const std::map<int, std::vector<std::int32_t>>& chunks) {
  Batch batch;
  batch.logits = LogitsWanted::all;
  sequence_of_row_.clear();
  for (const auto& [sequence, tokens] : chunks) {
    batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.end());
    batch.chunks.push_back({sequence, 0, static_cast<int>(tokens.size())});
    sequence_of_row_.insert(sequence_of_row_.end(), tokens.size(), sequence);
  }
  auto logits = session_.step(std::move(batch));
  if (!logits) return forward_error(logits);
  const auto vocab = logits->size() / sequence_of_row_.size();
  for (std::size_t row = 0; row < sequence_of_row_.size(); ++row) {
    const auto values = logits->subspan(row * vocab, vocab);
    auto& record = records_[sequence_of_row_[row]];
    record.logits.insert(record.logits.end(), values.begin(), values.end());
  }
  return {};
}

void Recording::observe(const char* name, int layer, std::span<const float> values, int columns) {
  const auto width = static_cast<std::size_t>(columns);
  const std::string_view named = name;
  const bool hidden = named == intermediate::kHidden;
  if (!hidden && named != intermediate::kEmbedding && named != intermediate::kNorm) return;
  ASSERT_EQ(values.size(), sequence_of_row_.size() * width);
  for (std::size_t row = 0; row < sequence_of_row_.size(); ++row) {
    SequenceRecord& record = records_[sequence_of_row_[row]];
    if (hidden) record.hidden.resize(std::max(record.hidden.size(), static_cast<std::size_t>(layer) + 1));
    auto& to = hidden                         ? record.hidden[static_cast<std::size_t>(layer)]
               : named == intermediate::kNorm ? record.norm
                                              : record.embedding;
    const auto from = values.subspan(row * width, width);
    to.insert(to.end(), from.begin(), from.end());
  }
}

void Recording::take_block(const CaptureBlock& block, std::size_t row, SequenceRecord& record) const {
  const auto rows = static_cast<std::size_t>(block.tokens);
  const auto layers = static_cast<std::size_t>(block.layers);
  const auto moe = static_cast<std::size_t>(block.moe_layers);
  const auto slots = static_cast<std::size_t>(block.slots);
  std::vector<int> experts(block.expert.size());
  std::transform(block.expert.begin(), block.expert.end(), experts.begin(),
                 [](std::uint16_t e) { return e == kNoExpert ? -1 : static_cast<int>(e); });
  record.slots = block.slots;
  append(record.expert, experts, moe, rows, row, slots);
  append(record.probability, block.probability, moe, rows, row, slots);
  append(record.weight, block.weight, moe, rows, row, slots);
  append(record.output_norm, block.output_norm, moe, rows, row, slots);
  append(record.output_max, block.output_max, moe, rows, row, slots);
  append(record.output_channel, block.output_channel, moe, rows, row, slots);
  append(record.contribution, block.contribution, moe, rows, row, slots);
  append(record.shared_norm, block.shared_norm, moe, rows, row, 1);
  append(record.shared_max, block.shared_max, moe, rows, row, 1);
  append(record.shared_channel, block.shared_channel, moe, rows, row, 1);
  append(record.entropy, block.entropy, moe, rows, row, 1);
  append(record.router_logits, block.router_logits, moe, rows, row, static_cast<std::size_t>(block.experts));
  append(record.hidden_max, block.hidden_max, layers, rows, row, 1);
  append(record.hidden_channel, block.hidden_channel, layers, rows, row, 1);
  append(record.first_token, block.first_token_attention, layers, rows, row, 1);
  if (!block.log_prob.empty()) record.log_prob.push_back(block.log_prob[row]);
}

Status Recording::deliver(std::unique_ptr<CaptureBlock> block) {
  EXPECT_EQ(static_cast<std::size_t>(block->tokens), sequence_of_row_.size());
  for (std::size_t row = 0; row < sequence_of_row_.size(); ++row) {
    EXPECT_EQ(block->sequence[row], sequence_of_row_[row]);
    take_block(*block, row, records_[sequence_of_row_[row]]);
  }
  return {};
}

SequenceRecord run_in_pieces(Session& session, const std::vector<std::int32_t>& tokens,
                             const std::vector<int>& sizes) {
  EXPECT_TRUE(session.truncate(0, 0));
  Recording recording(session, all_probes());
  std::size_t done = 0;
  for (std::size_t piece = 0; done < tokens.size(); ++piece) {
    const auto size = static_cast<std::size_t>(sizes[std::min(piece, sizes.size() - 1)]);
    const std::size_t count = std::min(size, tokens.size() - done);
    const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(done);
    const Status ok = recording.step({{0, {first, first + static_cast<std::ptrdiff_t>(count)}}});
    EXPECT_TRUE(ok) << (ok ? "" : ok.error().message);
    if (!ok) break;
    done += count;
  }
  return recording.sequence(0);
}

}  // namespace expertscope::parity
