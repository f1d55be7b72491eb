// SPDX-License-Identifier: GPL-3.0-or-later
// Sums and extremes per decoder layer, over a whole run and over the part of it that a probe saw.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "probes/analysis/analysis.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

// Tokens [begin, end) of one sequence, `step` a block.
struct Tokens {
  int begin = 0;
  int end = 0;
  int step = 1;
};

void deliver(Recorder& recorder, const CaptureRequest& probes, const Tokens& tokens) {
  for (int first = tokens.begin; first < tokens.end; first += tokens.step) {
    const int count = std::min(tokens.step, tokens.end - first);
    ASSERT_OK(recorder.deliver(make_block(Shape(), probes, {first, count, 0, first}, recorder.acquire())));
  }
}

TEST(LayerStats, AreTheSumsOverTheTokens) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  deliver(*recorder, CaptureRequest::standard(), {0, 300, 7});
  ASSERT_OK(recorder->finish("finished"));
  const auto layers = value_of(open_trace(folder / "t.db")->layer_stats(1));
  ASSERT_EQ(layers.size(), 3u);
  for (int layer = 0; layer < 3; ++layer) {
    const LayerStats& got = layers[static_cast<std::size_t>(layer)];
    double sum = 0;
    double low = 1e9;
    double high = 0;
    double hidden = 0;
    int hidden_token = -1;
    for (int t = 0; t < 300; ++t) {
      const double entropy = entropy_of(t, layer / 2);
      sum += entropy;
      low = std::min(low, entropy);
      high = std::max(high, entropy);
      if (hidden_max_of(t, layer) > hidden) {
        hidden = hidden_max_of(t, layer);
        hidden_token = t;
      }
    }
    EXPECT_EQ(got.tokens, 300);
    EXPECT_EQ(got.hidden_max, hidden);
    EXPECT_EQ(got.hidden_token, hidden_token);
    EXPECT_EQ(got.hidden_channel, hidden_token % 64);
    EXPECT_DOUBLE_EQ(got.entropy_sum, layer == 1 ? 0 : sum);
    EXPECT_EQ(got.entropy_min, layer == 1 ? 0 : low);
    EXPECT_EQ(got.entropy_max, layer == 1 ? 0 : high);
  }
}

TEST(LayerStats, AProbeThatStartsLateIsAveragedOverTheTokensItSaw) {
  const TemporaryFolder folder;
  const CaptureRequest early{.routing = true, .hidden = true};
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape(), early)));
  deliver(*recorder, early, {0, 300, 100});
  deliver(*recorder, CaptureRequest::standard(), {300, 350, 25});
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  const RunInfo run = value_of(trace->run(1));
  EXPECT_TRUE(run.probes.entropy) << "the run says what ran, not what it began with";
  EXPECT_TRUE(run.probes.routing && run.probes.expert_output && run.probes.log_prob);
  EXPECT_FALSE(run.probes.router_logits);
  double sum = 0;
  double low = 1e9;
  for (int t = 300; t < 350; ++t) {
    sum += entropy_of(t, 0);
    low = std::min<double>(low, entropy_of(t, 0));
  }
  const LayerStats stats = value_of(trace->layer_stats(1))[0];
  EXPECT_EQ(stats.tokens, 350);
  EXPECT_EQ(stats.entropy_tokens, 50);
  EXPECT_DOUBLE_EQ(stats.entropy_sum, sum);
  EXPECT_EQ(stats.entropy_min, low);
  const auto entropy = analyze_entropy(value_of(trace->layer_stats(1)), run);
  ASSERT_EQ(entropy.layers.size(), 2u);
  EXPECT_DOUBLE_EQ(entropy.layers[0].mean, sum / 50);
  EXPECT_EQ(entropy.layers[0].tokens, 50);
}

TEST(LayerStats, KnowTheAttentionOnTheFirstTokenOfEveryLayerDenseOnesIncluded) {
  const TemporaryFolder folder;
  const CaptureRequest off{.routing = true};
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape(), off)));
  deliver(*recorder, off, {0, 40, 40});
  deliver(*recorder, CaptureRequest::standard(), {40, 340, 7});
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  EXPECT_TRUE(value_of(trace->run(1)).probes.attention);
  const auto layers = value_of(trace->layer_stats(1));
  const AttentionResult result = analyze_attention(layers);
  ASSERT_EQ(result.layers.size(), 3u);
  for (int layer = 0; layer < 3; ++layer) {
    double sum = 0;
    double low = 1;
    double high = 0;
    for (int t = 40; t < 340; ++t) {
      const double mass = attention_of(t, layer);
      sum += mass;
      low = std::min(low, mass);
      high = std::max(high, mass);
    }
    const LayerAttention& got = result.layers[static_cast<std::size_t>(layer)];
    EXPECT_EQ(got.layer, layer);
    EXPECT_EQ(got.tokens, 300) << "those the probe saw";
    EXPECT_DOUBLE_EQ(got.mean, sum / 300);
    EXPECT_EQ(got.min, low);
    EXPECT_EQ(got.max, high);
  }
  EXPECT_FALSE(layers[0].cache) << "the backend held all experts";
  const auto values = value_of(trace->first_token_attention(1, 1, {38, 42}));
  ASSERT_EQ(values.size(), 4u);
  EXPECT_TRUE(std::isnan(values[1]));
  EXPECT_EQ(values[2], attention_of(40, 1));
}

TEST(LayerStats, AddUpWhatTheExpertCacheDid) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  for (int step = 0; step < 3; ++step) {
    auto block = make_block(Shape(), CaptureRequest::standard(), {10 * step, 10, 0, 10 * step});
    block->cache_hits = {15 + step, 20};
    block->cache_misses = {5 - step, 0};
    block->cache_bytes = {(5 - step) * 1000, 0};
    ASSERT_OK(recorder->deliver(std::move(block)));
  }
  ASSERT_OK(recorder->finish("finished"));
  const auto layers = value_of(open_trace(folder / "t.db")->layer_stats(1));
  ASSERT_TRUE(layers[0].cache && layers[2].cache);
  EXPECT_FALSE(layers[1].cache) << "a dense layer has no experts";
  EXPECT_EQ(layers[0].cache->hits, 48);
  EXPECT_EQ(layers[0].cache->misses, 12);
  EXPECT_EQ(layers[0].cache->bytes, 12000);
  EXPECT_DOUBLE_EQ(layers[0].cache->hit_rate(), 0.8);
  EXPECT_DOUBLE_EQ(layers[2].cache->hit_rate(), 1.0);
  const auto total = total_cache(layers);
  ASSERT_TRUE(total);
  EXPECT_EQ(total->hits, 108);
  EXPECT_EQ(total->misses, 12);
}

TEST(LayerStats, ABlockWhoseCacheCountersDoNotFitItsLayersIsRefused) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  auto block = make_block(Shape(), CaptureRequest::standard(), {0, 10, 0, 0});
  block->cache_hits = {1, 2, 3};
  (void)recorder->deliver(std::move(block));
  const auto finished = recorder->finish("finished");
  ASSERT_FALSE(finished);
  EXPECT_NE(finished.error().message.find("does not fit the run"), std::string::npos);
}

}  // namespace
}  // namespace expertscope::testing
