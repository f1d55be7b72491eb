// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/family_shapes.h"

#include <gtest/gtest.h>

#include "engine/cpu/can_run.h"

namespace expertscope::bench {
namespace {

/// Weights of a MoE layer's experts, and those of them that a token meets.
struct Experts {
  std::int64_t all, active;

  bool operator==(const Experts&) const = default;
};

Experts experts_of(const ModelConfig& config) {
  const LayerSpec& layer = config.layers.back();
  const std::int64_t one = std::int64_t{3} * config.hidden_size * layer.expert.width;
  return {layer.router.experts * one, layer.router.top_k * one};
}

TEST(FamilyShapes, AreReadAndRunOnTheFastPath) {
  EXPECT_FALSE(family_shapes().empty());
  for (const FamilyShape& shape : family_shapes()) {
    SCOPED_TRACE(shape.option);
    const auto config = config_of(shape);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_TRUE(cpu::can_run(*config));
  }
}

TEST(FamilyShapes, HaveTheExpertsOfTheModelsTheyAreNamedAfter) {
  const Experts expected[] = {{32LL * 3 * 2880 * 2880, 4LL * 3 * 2880 * 2880},
                              {128LL * 3 * 2048 * 512, 10LL * 3 * 2048 * 512},
                              {64LL * 3 * 2048 * 1408, 6LL * 3 * 2048 * 1408},
                              {128LL * 3 * 2816 * 704, 8LL * 3 * 2816 * 704}};
  ASSERT_EQ(family_shapes().size(), std::size(expected));
  for (std::size_t i = 0; i < std::size(expected); ++i)
    EXPECT_EQ(experts_of(config_of(family_shapes()[i]).value_or(ModelConfig{})), expected[i]);
}

}  // namespace
}  // namespace expertscope::bench
