// SPDX-License-Identifier: GPL-3.0-or-later
// Sums and extremes per decoder layer, over a whole run and over the part of it that a probe saw.
#include <gtest/gtest.h>

#include <algorithm>

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

}  // namespace
}  // namespace expertscope::testing
