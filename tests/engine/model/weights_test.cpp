// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "engine/formats/tensor_store.h"
#include "engine/model/weight_binder.h"
#include "tests/support/stored_weights.h"

namespace expertscope {
namespace {

TEST(Matrix, SlicesAndDequantisesWithItsPlaneOfScales) {
  const std::vector<float> values = {0.5f, -1, 2, 0.25f};
  std::vector<float> all(12 * 80);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = values[i % 4] + 0.01f * static_cast<float>(i / 80);
  std::vector<std::uint8_t> data, scales;
  const Matrix matrix =
      testing::store_planed({all.data(), &weight_format(FormatId::f32), 12, 80}, data, scales);
  EXPECT_EQ(matrix.row_bytes(), 80u);
  EXPECT_EQ(matrix.scale_row_bytes(), 3u * sizeof(float)) << "for 32, 32 and 16 columns";
  const Matrix part = matrix.slice(4, 8);
  EXPECT_EQ(part.rows, 8);
  std::vector<float> row(80), same(80), piece(16);
  for (std::int64_t r = 0; r < 8; ++r) {
    part.dequantise(r, 0, 80, row.data());
    matrix.dequantise(r + 4, 0, 80, same.data());
    matrix.dequantise(r + 4, 64, 16, piece.data());
    EXPECT_EQ(row, same);
    EXPECT_EQ(piece, std::vector<float>(row.begin() + 64, row.end()));
    for (std::size_t i = 0; i < 80; ++i)
      EXPECT_NEAR(row[i], all[static_cast<std::size_t>(r + 4) * 80 + i], 0.026);
  }
}

TEST(Matrix, EverySecondRowIsAMatrixToo) {
  std::vector<std::uint8_t> data, scales;
  const Matrix all = testing::random_mxfp4(12, 64, 1, 7, data, scales);
  const Matrix odd = all.every(2, 5, 3);
  EXPECT_EQ(odd.rows, 3);
  std::vector<float> row(64), same(64);
  for (std::int64_t r = 0; r < 3; ++r) {
    odd.dequantise(r, 0, 64, row.data());
    all.dequantise(5 + 2 * r, 0, 64, same.data());
    EXPECT_EQ(row, same);
    odd.slice(r, 1).dequantise(0, 0, 64, row.data());
    EXPECT_EQ(row, same);
  }
}

/// What binding the ends of a tied model of width 64 says of an embedding that claims so many bytes.
std::string bind_embedding(const std::string& format, std::uint64_t bytes) {
  const TensorNames names = llama_tensor_names();
  const std::filesystem::path file = "m.gguf";
  const std::vector<std::uint8_t> data(1024);
  TensorSource source;
  source.tensors = {{names.norm, "F32", {64}, data.data(), 256, &file},
                    {names.embed_tokens, format, {3, 64}, data.data(), bytes, &file}};
  ModelConfig config;
  config.hidden_size = 64;
  config.vocab_size = 3;
  config.tie_word_embeddings = true;
  const TensorStore store(std::move(source));
  WeightBinder binder(store, config, names);
  Weights weights;
  const Status ok = binder.bind_ends(weights);
  return ok ? "" : ok.error().message;
}

TEST(WeightBinder, RefusesASourceWhoseBytesAreNotThoseOfItsFormat) {
  EXPECT_EQ(bind_embedding("Q8_0", 3 * 2 * 34), "");
  EXPECT_THAT(bind_embedding("Q8_0", 3 * 2 * 34 - 1),
              ::testing::HasSubstr("m.gguf: tensor model.embed_tokens.weight [3, 64] of Q8_0 has 203 bytes"));
  EXPECT_THAT(bind_embedding("BF16", 3 * 64), ::testing::HasSubstr("of BF16 has 192 bytes"));
}

/// Binds q_proj [130, 200] of E4M3 with the scales given; what is said, or the matrix.
struct BoundF8 {
  std::string error;
  Matrix matrix;
  AlignedCopies copies;
};

BoundF8 bind_f8(const std::string& format, const std::vector<std::int64_t>& shape, const void* scales,
                std::uint64_t bytes, const char* name = "w.weight_scale_inv",
                const Quantization& quantization = {}) {
  static const std::vector<std::uint8_t> ones(130 * 200, 0x38);
  static const std::filesystem::path file = "m.safetensors";
  TensorNames names = llama_tensor_names();
  names.embed_tokens = "w.weight";
  names.norm = "norm.weight";
  static const std::vector<float> norm(200);
  TensorSource source;
  source.tensors = {
      {"norm.weight", "F32", {200}, reinterpret_cast<const std::uint8_t*>(norm.data()), 800, &file},
      {"w.weight", "F8_E4M3", {130, 200}, ones.data(), ones.size(), &file}};
  if (scales != nullptr)
    source.tensors.push_back({name, format, shape, static_cast<const std::uint8_t*>(scales), bytes, &file});
  ModelConfig config;
  config.hidden_size = 200;
  config.vocab_size = 130;
  config.tie_word_embeddings = true;
  const TensorStore store(std::move(source));
  WeightBinder binder(store, config, names, quantization);
  Weights weights;
  const Status ok = binder.bind_ends(weights);
  return {ok ? "" : ok.error().message, weights.embed_tokens, binder.take_copies()};
}

std::vector<float> corners(const Matrix& matrix) {
  std::vector<float> first(200), last(200);
  matrix.dequantise(127, 0, 200, first.data());
  matrix.dequantise(128, 0, 200, last.data());
  return {first[0], first[127], first[128], first[199], last[0], last[127], last[128], last[199]};
}

TEST(WeightBinder, FindsTheScalesOfFp8WeightsInEveryTypeTheyHave) {
  const std::vector<float> expected = {2, 2, 0.5f, 0.5f, 4, 4, 8, 8};
  const float f32[] = {2, 0.5f, 4, 8};
  const std::uint16_t bf16[] = {0x4000, 0x3f00, 0x4080, 0x4100};
  const std::uint8_t e8m0[] = {128, 126, 129, 130};
  for (const auto& [format, data, bytes] :
       {std::tuple<const char*, const void*, std::uint64_t>{"F32", f32, 16},
        {"BF16", bf16, 8},
        {"F8_E8M0", e8m0, 4}}) {
    const BoundF8 bound = bind_f8(format, {2, 2}, data, bytes);
    ASSERT_EQ(bound.error, "") << format;
    EXPECT_EQ(corners(bound.matrix), expected) << format;
  }
}

TEST(WeightBinder, ScalesOfFp8WeightsMayBeThoseOfTheTensorOfRowsAndOfOtherBlocks) {
  std::vector<float> scales(130 * 4);
  for (std::size_t i = 0; i < scales.size(); ++i)
    scales[i] = static_cast<float>(i + 1);
  using Shape = std::vector<std::int64_t>;
  for (const Shape& shape : {Shape{}, {1}, {1, 1}}) {
    const BoundF8 whole = bind_f8("F32", shape, scales.data(), 4, "w.weight_scale");
    ASSERT_EQ(whole.error, "");
    EXPECT_EQ(corners(whole.matrix), std::vector<float>(8, 1));
  }
  for (const Shape& shape : {Shape{130, 1}, {130}}) {
    const BoundF8 rows = bind_f8("F32", shape, scales.data(), 520, "w.weight_scale");
    ASSERT_EQ(rows.error, "");
    EXPECT_EQ(corners(rows.matrix), (std::vector<float>{128, 128, 128, 128, 129, 129, 129, 129}));
    std::vector<float> row(200);
    rows.matrix.slice(100, 30).dequantise(29, 0, 200, row.data());
    EXPECT_EQ(row, std::vector<float>(200, 130));
  }
  const BoundF8 blocks =
      bind_f8("F32", {130, 4}, scales.data(), 520 * 4, "w.weight_scale", {.f8_block = {1, 64}});
  ASSERT_EQ(blocks.error, "");
  EXPECT_EQ(corners(blocks.matrix), (std::vector<float>{509, 510, 511, 512, 513, 514, 515, 516}));
}

TEST(WeightBinder, RefusesFp8WeightsWhoseScalesDoNotFit) {
  const float scales[] = {2, 0.5f, std::numeric_limits<float>::infinity(), 8, 1, 1};
  EXPECT_EQ(
      bind_f8("F32", {}, nullptr, 0).error,
      "m.safetensors: tensor w.weight is F8_E4M3, and its scales w.weight_scale_inv or _scale are missing");
  EXPECT_EQ(
      bind_f8("F32", {2, 3}, scales, 24).error,
      "m.safetensors: tensor w.weight_scale_inv [2, 3]: expected one scale, [130, 1] for rows, or [2, 2] for "
      "128 x 128 weights");
  EXPECT_EQ(bind_f8("F32", {2, 2}, scales, 16).error,
            "m.safetensors: tensor w.weight_scale_inv [2, 2]: a scale is not a finite number");
  EXPECT_EQ(
      bind_f8("I32", {2, 2}, scales, 16).error,
      "m.safetensors: tensor w.weight_scale_inv [2, 2]: scales must be F32, F16, BF16 or F8_E8M0, these "
      "are I32");
  EXPECT_EQ(bind_f8("F32", {2, 2}, scales, 15).error,
            "m.safetensors: tensor w.weight_scale_inv [2, 2]: 15 bytes of F32")
      << "fewer bytes than its shape has";
}

}  // namespace
}  // namespace expertscope
