// SPDX-License-Identifier: GPL-3.0-or-later
// What a block has follows from the table of columns; what a layer does not have stays unset.
#include "engine/backend/capture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "engine/backend/backend_checks.h"

namespace expertscope {
namespace {

constexpr BlockShape kShape{
    .tokens = 3, .layers = 4, .moe_layers = 2, .slots = 2, .experts = 5, .shared = true};

TEST(CaptureRequest, StandardIsEveryProbeButTheRoutersLogits) {
  CaptureRequest request = CaptureRequest::standard();
  EXPECT_TRUE(request.routing && request.expert_output && request.hidden && request.entropy &&
              request.log_prob && request.attention);
  EXPECT_FALSE(request.router_logits);
}

TEST(CaptureRequest, EitherHasWhatOneOfThemHas) {
  const CaptureRequest both = either({.routing = true}, {.hidden = true});
  EXPECT_EQ(both, (CaptureRequest{.routing = true, .hidden = true}));
  EXPECT_FALSE(CaptureRequest{}.any());
  for (const Probe& probe : kProbes) {
    CaptureRequest one;
    one.*probe.flag = true;
    EXPECT_TRUE(one.any()) << probe.name;
    EXPECT_EQ(either({}, one), one) << probe.name;
  }
}

TEST(CaptureBlock, HasTheColumnsThatTheRequestAsksFor) {
  for (const Probe& probe : kProbes) {
    CaptureRequest request;
    request.*probe.flag = true;
    CaptureBlock block;
    block.prepare(request, kShape);
    int columns = 0;
    for_each_column(
        [&](const ProbeColumn& column, const auto& values) {
          EXPECT_EQ(values.empty(), !column.measured(request)) << probe.name << ": " << column.name;
          columns += values.empty() ? 0 : 1;
        },
        block);
    EXPECT_GT(columns, 0) << probe.name;
  }
}

TEST(CaptureBlock, SizesAndUnsetValuesFollowFromTheTable) {
  CaptureRequest all;
  for (const Probe& probe : kProbes)
    all.*probe.flag = true;
  CaptureBlock block;
  block.prepare(all, kShape);
  EXPECT_EQ(block.token_id.size(), 3u);
  EXPECT_EQ(block.log_prob.size(), 3u);
  EXPECT_TRUE(std::isnan(block.log_prob[0]));
  EXPECT_EQ(block.expert, std::vector<std::uint16_t>(2 * 3 * 2, kNoExpert));
  EXPECT_EQ(block.output_norm, std::vector<float>(2 * 3 * 2, 0.0f));
  EXPECT_EQ(block.shared_channel, std::vector<std::int32_t>(2 * 3, -1));
  EXPECT_EQ(block.entropy.size(), 2u * 3);
  EXPECT_EQ(block.hidden_channel, std::vector<std::int32_t>(4 * 3, -1));
  EXPECT_EQ(block.router_logits.size(), 2u * 3 * 5);
  BlockShape without = kShape;
  without.shared = false;
  block.prepare(all, without);
  EXPECT_TRUE(block.shared_norm.empty() && block.shared_max.empty() && block.shared_channel.empty());
}

TEST(CaptureBlock, NamesOfColumnsAndProbesAreThereOnce) {
  std::set<std::string> names;
  int rows = 0;
  for_each_column([&](const ProbeColumn& column) {
    ++rows;
    names.insert(column.name);
    EXPECT_STRNE(column.meaning, "") << column.name;
    EXPECT_NE(column.probes[0], nullptr) << column.name;
  });
  EXPECT_EQ(static_cast<int>(names.size()), rows);
}

// A dense layer, a MoE layer with a shared expert, and one without and with fewer experts.
ModelConfig uneven_config() {
  ModelConfig config;
  config.layers.resize(3);
  config.layers[1].router.experts = 4;
  config.layers[1].shared.width = 8;
  config.layers[2].router.experts = 2;
  return config;
}

TEST(CaptureBlock, WhatALayerDoesNotHaveIsUnsetAgain) {
  const ModelConfig config = uneven_config();
  CaptureBlock block;
  block.prepare({.expert_output = true, .router_logits = true},
                {.tokens = 2, .layers = 3, .moe_layers = 2, .slots = 1, .experts = 4, .shared = true});
  std::fill(block.shared_max.begin(), block.shared_max.end(), 7.0f);
  std::fill(block.shared_channel.begin(), block.shared_channel.end(), 7);
  std::fill(block.router_logits.begin(), block.router_logits.end(), 7.0f);
  std::fill(block.output_max.begin(), block.output_max.end(), 7.0f);
  unset_absent(config, block);
  EXPECT_EQ(block.shared_max, (std::vector<float>{7, 7, 0, 0}));
  EXPECT_EQ(block.shared_channel, (std::vector<std::int32_t>{7, 7, -1, -1}));
  EXPECT_EQ(block.output_max, std::vector<float>(4, 7.0f));
  for (std::size_t i = 0; i < 16; ++i) {
    const bool has = i < 8 || i % 4 < 2;
    EXPECT_EQ(std::isnan(block.router_logits[i]), !has) << i;
  }
}

}  // namespace
}  // namespace expertscope
