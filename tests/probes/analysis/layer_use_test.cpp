// SPDX-License-Identifier: GPL-3.0-or-later
// The slots of a layer by expert, read once and added to.
#include "probes/analysis/layer_use.h"

#include <gtest/gtest.h>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

RunInfo of_tokens(const PlantedTrace& trace, std::int64_t tokens) {
  RunInfo run = trace.data().info();
  run.tokens = tokens;
  return run;
}

TEST(LayerUse, GivesTheSlotsThatAStreamGives) {
  const PlantedTrace trace;
  const RunInfo& run = trace.data().info();
  const auto layer = value_of(LayerUse::read(trace.data().reader(), run, 2, nullptr, {}));
  for (int expert = 0; expert < run.experts; ++expert) {
    ExpertUseQuery query;
    query.layer = 2;
    query.expert = expert;
    query.covered = {7, run.tokens - 5};
    query.bins = 9;
    query.most_tokens = 4;
    const ExpertUse streamed = value_of(read_expert_use(trace.data().reader(), run.id, query, {}));
    const ExpertUse kept = add_up(layer->of(expert, query.covered), query);
    EXPECT_EQ(kept.load_in_time, streamed.load_in_time);
    ASSERT_EQ(kept.top.size(), streamed.top.size());
    for (std::size_t i = 0; i < kept.top.size(); ++i) {
      EXPECT_EQ(kept.top[i].token, streamed.top[i].token);
      EXPECT_EQ(kept.top[i].weight, streamed.top[i].weight);
    }
  }
}

TEST(LayerUse, OfARunThatHasGrownIsTheOldOneAndWhatIsNew) {
  const PlantedTrace trace;
  const TraceReader& reader = trace.data().reader();
  const RunInfo& run = trace.data().info();
  const auto half = value_of(LayerUse::read(reader, of_tokens(trace, run.tokens / 2), 0, nullptr, {}));
  const auto grown = value_of(LayerUse::read(reader, run, 0, half, {}));
  const auto at_once = value_of(LayerUse::read(reader, run, 0, nullptr, {}));
  EXPECT_EQ(value_of(LayerUse::read(reader, run, 0, grown, {})), grown) << "nothing is new";
  for (int expert = 0; expert < run.experts; ++expert) {
    const auto a = grown->of(expert, {});
    const auto b = at_once->of(expert, {});
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      EXPECT_EQ(a[i].token, b[i].token);
  }
  EXPECT_NE(value_of(LayerUse::read(reader, run, 2, grown, {})), grown) << "another layer";
}

TEST(LayerUse, TakesOnlyLayersThatFitIntoMemory) {
  const PlantedTrace trace;
  EXPECT_TRUE(LayerUse::fits(trace.data().info()));
  EXPECT_FALSE(LayerUse::fits(of_tokens(trace, 10'000'000)));
}

}  // namespace
}  // namespace expertscope::testing
