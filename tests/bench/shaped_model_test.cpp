// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/shaped_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/run/session.h"
#include "tests/support/temporary_folder.h"

namespace expertscope::bench {
namespace {

ShapedModel tiny_model() {
  return ShapedModel::make(shape_named("tiny").value(), 1 << 18).value();
}

TEST(ShapedModel, TheShapesAreThoseOfThePublishedConfigurations) {
  const ModelConfig qwen = shape_named("qwen3-30b-a3b").value();
  EXPECT_EQ(qwen.num_layers(), 48);
  EXPECT_EQ(qwen.num_moe_layers(), 48);
  EXPECT_EQ(qwen.num_experts() * qwen.top_k(), 128 * 8);
  EXPECT_EQ(qwen.vocab_size, 151936);
  const ModelConfig olmoe = shape_named("olmoe-1b-7b").value();
  EXPECT_EQ(olmoe.num_moe_layers(), 16);
  EXPECT_EQ(olmoe.widest().expert_width, 1024);
  EXPECT_FALSE(shape_named("mixtral"));
}

TEST(ShapedModel, MatricesLieInManyPlacesOfAFewBuffers) {
  const auto shaped = tiny_model();
  std::set<const void*> places;
  for (const LayerWeights& layer : shaped.model()->weights().layers)
    for (const MlpWeights& expert : layer.experts)
      places.insert(expert.gate_proj.data);
  EXPECT_GT(places.size(), 12u);
}

TEST(ShapedModel, TheResidualStreamStaysNearOne) {
  BackendOptions options;
  options.choice.kind = BackendKind::cpu;
  auto session = Session::create(tiny_model().model(), options).value();
  struct Watch final : TensorObserver {
    void observe(const char* name, int, std::span<const float> values, int) override {
      if (std::string(name) == "norm") return;
      double squares = 0;
      for (const float value : values)
        squares += static_cast<double>(value) * value;
      const double rms = std::sqrt(squares / static_cast<double>(values.size()));
      EXPECT_GT(rms, 0.5) << name;
      EXPECT_LT(rms, 2.0) << name;
    }
  } watch;
  session->backend().set_observer(&watch);
  const std::vector<std::int32_t> tokens = {5, 1, 90, 33, 12, 7, 64, 2};
  EXPECT_TRUE(session->prefill(0, tokens));
}

TEST(ShapedModel, WhatIsWrittenIsWhatTheModelReads) {
  const auto shaped = tiny_model();
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(shaped.write(folder.path()));
  std::ifstream in(folder / "shaped.json");
  const auto description = nlohmann::json::parse(in);
  const auto& slice = description["tensors"]["model.layers.1.mlp.experts.7.down_proj.weight"];
  const Matrix& matrix = shaped.model()->weights().layers[1].experts[7].down_proj;
  EXPECT_EQ(slice[2], matrix.rows);
  EXPECT_EQ(slice[3], matrix.cols);
  std::ifstream pool(folder / description["files"][slice[0].get<std::size_t>()].get<std::string>(),
                     std::ios::binary);
  pool.seekg(slice[1].get<std::int64_t>() * 2);
  std::vector<char> bytes(matrix.row_bytes());
  ASSERT_TRUE(pool.read(bytes.data(), static_cast<std::streamsize>(bytes.size())));
  EXPECT_EQ(std::memcmp(bytes.data(), matrix.row(0), bytes.size()), 0);
}

}  // namespace
}  // namespace expertscope::bench
