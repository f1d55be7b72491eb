// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/rope_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/model/config_reader.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using Json = nlohmann::json;

Json rotary_goldens() {
  return Json::parse(testing::read_bytes(testing::data_folder() / "rotary.json"));
}

/// The rotary embedding of a config.json with these rope_parameters.
RotarySpec spec_of(const Json& goldens, const Json& parameters) {
  auto json = Json::parse(testing::read_bytes(testing::data_folder() / "models" / "top1" / "config.json"));
  json.erase("rope_theta");
  json["head_dim"] = goldens["head_dim"];
  json["max_position_embeddings"] = goldens["max_position_embeddings"];
  json["rope_parameters"] = parameters;
  const auto parsed = parse_config(json.dump(), "config.json");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? parsed->config.layers.front().attention.rotary : RotarySpec{};
}

TEST(RotaryFrequencies, AreThoseOfTransformersForEveryScaling) {
  const Json goldens = rotary_goldens();
  ASSERT_GE(goldens["cases"].size(), 10u);
  for (const Json& golden : goldens["cases"]) {
    SCOPED_TRACE(golden["rope_parameters"].dump());
    const RotarySpec spec = spec_of(goldens, golden["rope_parameters"]);
    EXPECT_NEAR(spec.magnitude, golden["magnitude"].get<double>(), 1e-6);
    const auto frequencies = rotary_frequencies(spec, golden["positions"]);
    ASSERT_EQ(frequencies.size(), golden["frequencies"].size());
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      const auto expected = golden["frequencies"][i].get<double>();
      EXPECT_NEAR(frequencies[i], expected, 2e-6 * expected) << "frequency " << i;
    }
  }
}

TEST(RopeTable, HoldsTheAngleOfEveryPositionTimesTheMagnitude) {
  RotarySpec spec;
  spec.width = 4;
  spec.magnitude = 2.0;
  RopeTable table;
  ASSERT_TRUE(table.build(spec, 3));
  EXPECT_EQ(table.width(), 4);
  EXPECT_EQ(table.cosine(0)[0], 2.0f);
  EXPECT_EQ(table.sine(0)[1], 0.0f);
  EXPECT_NEAR(table.cosine(2)[0], 2 * std::cos(2.0), 1e-6);
  EXPECT_NEAR(table.sine(2)[1], 2 * std::sin(2.0 * 0.01), 1e-6);
}

TEST(RopeTables, KeepEachDifferentEmbeddingOnce) {
  ModelConfig config;
  config.layers.resize(3);
  for (LayerSpec& layer : config.layers)
    layer.attention.rotary.width = 4;
  config.layers[1].attention.rotary.theta = 500.0;
  EXPECT_EQ(RopeTables::floats(config, 10).value(), 80u);
  RopeTables tables;
  ASSERT_TRUE(tables.build(config, 10));
  EXPECT_EQ(&tables.of_layer(0), &tables.of_layer(2));
  EXPECT_NE(tables.of_layer(0).cosine(3)[1], tables.of_layer(1).cosine(3)[1]);
}

}  // namespace
}  // namespace expertscope
