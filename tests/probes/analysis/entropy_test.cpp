// SPDX-License-Identifier: GPL-3.0-or-later
// Router entropy.
#include <gtest/gtest.h>

#include <cmath>

#include "probes/analysis/export.h"
#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(Entropy, IsTheMeanPerLayerAndItsShareOfTheLargestPossible) {
  RunInfo run;
  run.experts = 8;
  run.moe_layer.resize(3);
  run.moe_layer[1] = run.moe_layer[2] = 1;
  run.probes.entropy = true;
  std::vector<LayerStats> layers(3);
  for (auto& layer : layers)
    layer.tokens = layer.entropy_tokens = 10;
  layers[1].entropy_sum = 15;
  layers[1].entropy_min = 1;
  layers[1].entropy_max = 2;
  layers[2].entropy_sum = 10 * std::log(8.0);
  const EntropyResult result = analyze_entropy(layers, run);
  ASSERT_EQ(result.layers.size(), 2u);
  EXPECT_EQ(result.layers[0].layer, 1);
  EXPECT_EQ(result.layers[0].tokens, 10);
  EXPECT_DOUBLE_EQ(result.layers[0].mean, 1.5);
  EXPECT_DOUBLE_EQ(result.layers[0].min, 1);
  EXPECT_DOUBLE_EQ(result.layers[0].max, 2);
  EXPECT_DOUBLE_EQ(result.layers[0].normalised, 1.5 / std::log(8.0));
  EXPECT_DOUBLE_EQ(result.layers[1].normalised, 1.0);
  run.probes.entropy = false;
  EXPECT_TRUE(analyze_entropy(layers, run).layers.empty());
}

TEST(Entropy, AsATableIsTheSameNumbers) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("entropy");
  const EntropyResult expected =
      analyze_entropy(*value_of(trace.data().layer_stats({})), trace.data().info());
  EXPECT_TRUE(to_csv(result.main()).starts_with("layer,tokens,mean_nats,min_nats,max_nats,normalised\n0,"));
  ASSERT_EQ(result.main().rows(), expected.layers.size());
  EXPECT_EQ(result.main().find("mean_nats")->number(1), expected.layers[1].mean);
  EXPECT_EQ(result.main().find("normalised")->number(1), expected.layers[1].normalised);
}

}  // namespace
}  // namespace expertscope::testing
