// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace expertscope
