// SPDX-License-Identifier: GPL-3.0-or-later
// The index arithmetic of the AMX kernels, on an emulation of the tile instructions.
#include "engine/cpu/kernels/amx_tiles.h"
#include "engine/half.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/cpu/kernels/avx512_probe.h"
#include "tests/engine/cpu/kernels/kernel_test_support.h"

namespace expertscope::cpu {
namespace {

/// TDPBF16PS and its companions as the Intel 64 manual (volume 2, "TDPBF16PS") defines them: sums of even and
/// of odd elements by fused multiply-add in f32, then added to C; denormals are zero on the way in and out.
class EmulatedTiles {
 public:
  void configure() { configured_ = true; }
  void release() { configured_ = false; }
  template <int kTile>
  void zero() {
    ASSERT_TRUE(configured_);
    std::memset(tiles_[kTile], 0, sizeof(tiles_[kTile]));
  }
  template <int kTile>
  void load(const void* p, std::int64_t stride) {
    ASSERT_TRUE(configured_);
    for (int r = 0; r < 16; ++r)
      std::memcpy(tiles_[kTile][r], static_cast<const std::uint8_t*>(p) + r * stride, 64);
  }
  template <int kC, int kA, int kB>
  void multiply() {
    ASSERT_TRUE(configured_);
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 16; ++n) {
        float even = 0;
        float odd = 0;
        for (int k = 0; k < 16; ++k) {
          even = flush(std::fma(half(kA, m, 2 * k), half(kB, k, 2 * n), even));
          odd = flush(std::fma(half(kA, m, 2 * k + 1), half(kB, k, 2 * n + 1), odd));
        }
        float c;
        std::memcpy(&c, &tiles_[kC][m][4 * n], sizeof(c));
        c = flush(flush(c) + flush(even + odd));
        std::memcpy(&tiles_[kC][m][4 * n], &c, sizeof(c));
      }
    }
  }
  void prefetch(const void*) {}
  template <int kTile>
  void store_transposed(int rows, int tokens, float* y, std::int64_t y_stride) {
    ASSERT_TRUE(configured_);
    for (int token = 0; token < tokens; ++token)
      for (int r = 0; r < rows; ++r)
        std::memcpy(y + token * y_stride + r, &tiles_[kTile][r][4 * token], 4);
  }
  bool configured() const { return configured_; }

 private:
  static float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
  float half(int tile, int row, int i) const {
    std::uint16_t bits;
    std::memcpy(&bits, &tiles_[tile][row][2 * i], sizeof(bits));
    return flush(bf16_to_f32(bits));
  }

  bool configured_ = false;
  std::uint8_t tiles_[8][16][64] = {};
};

/// The definition of PackLayout::bf16_tiles: [row / 16][pair of K][row % 16][element of the pair].
void pack_plainly(const ActivationRows& x, const PackedActivations& out) {
  auto* to = static_cast<std::uint16_t*>(out.memory);
  const std::int64_t groups = (x.rows + 15) / 16;
  std::fill(to, to + groups * 16 * out.stride, 0);
  for (std::int64_t m = 0; m < x.rows; ++m)
    for (std::int64_t k = 0; k < x.cols; ++k)
      to[m / 16 * 16 * out.stride + k / 2 * 32 + m % 16 * 2 + k % 2] = f32_to_bf16(x.row(m)[k]);
}

struct AmxShape {
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
};

/// Weights that become BF16 on their way into a tile.
struct WidenedPlainly {
  static constexpr bool kInPlace = false;
  const Matrix& w;

  void copy(std::int64_t n, std::int64_t k, std::int64_t width, std::uint16_t* to) const {
    float values[kTileCols];
    w.dequantise(n, k, width, values);
    for (std::int64_t i = 0; i < width; ++i)
      to[i] = f32_to_bf16(values[i]);
  }
};

/// Packs and multiplies as amx.cpp does, on emulated tiles. Values are chosen by the caller.
class AmxCase {
 public:
  AmxCase(const AmxShape& shape, std::vector<float> values)
      : shape_(shape), values_(std::move(values)), bytes_(packed_bytes(shape.m, shape.k)) {
    packed_.arithmetic = Arithmetic::bf16;
    packed_.layout = PackLayout::bf16_tiles;
    packed_.rows = shape.m;
    packed_.cols = shape.k;
    packed_.stride = (shape.k + kPackCols - 1) / kPackCols * kPackCols;
    packed_.memory = bytes_.data();
    pack_plainly({values_.data(), shape.k, nullptr, shape.m, shape.k}, packed_);
  }
  std::vector<float> product(const Matrix& w, std::int64_t n0, std::int64_t n1) {
    std::vector<float> y(static_cast<std::size_t>(shape_.m * shape_.n), 12345.0f);
    if (w.format->id == FormatId::bf16) {
      const StoredTiles<EmulatedTiles> stored{static_cast<const std::uint8_t*>(w.data), shape_.k};
      amx_matmul(tiles_, stored, packed_, n0, n1, y.data(), shape_.n);
    } else {
      amx_matmul(tiles_, WidenedPlainly{w}, packed_, n0, n1, y.data(), shape_.n);
    }
    EXPECT_FALSE(tiles_.configured());
    return y;
  }

 private:
  AmxShape shape_;
  std::vector<float> values_;
  AlignedBytes bytes_;
  PackedActivations packed_;
  EmulatedTiles tiles_;
};

TEST(AmxTiles, AgreeWithTheScalarKernelsForAwkwardShapes) {
  const Kernels& scalar = kernels_for(CpuLevel::scalar);
  const AmxShape shapes[] = {{1, 1, 1},     {8, 16, 32},  {9, 17, 33},  {16, 31, 31},  {17, 32, 64},
                             {33, 47, 100}, {32, 64, 96}, {48, 33, 34}, {130, 40, 70}, {161, 16, 2}};
  for (const AmxShape& shape : shapes) {
    Numbers numbers(static_cast<std::uint32_t>(shape.m * 100 + shape.n));
    const TestMatrix w(numbers.take(shape.n * shape.k), shape.n, shape.k, FormatId::bf16, 2);
    const std::vector<float> values = numbers.take(shape.m * shape.k);
    const TestActivations reference(scalar, Arithmetic::bf16, values, shape.m, shape.k);
    const std::vector<float> y = AmxCase(shape, values).product(w.matrix(), 0, shape.n);
    for (std::int64_t i = 0; i < shape.m * shape.n; ++i) {
      const ReferenceProduct expected(w, reference, i / shape.n, i % shape.n);
      ASSERT_NEAR(y[static_cast<std::size_t>(i)], expected.value, 1e-6 * expected.magnitude + 1e-30)
          << "M " << shape.m << " N " << shape.n << " K " << shape.k << " at " << i;
    }
  }
}

TEST(AmxTiles, WeightsThatAreWidenedHaveTheBitsOfTheSameInBf16) {
  for (const AmxShape& shape : {AmxShape{8, 16, 32}, {17, 31, 64}, {33, 50, 96}}) {
    std::vector<std::uint8_t> data, scales;
    const Matrix w = testing::random_mxfp4(shape.n, shape.k, 2, 9, data, scales);
    std::vector<std::uint16_t> halves;
    const Matrix same = testing::as_bf16(w, halves);
    Numbers numbers(3);
    const std::vector<float> values = numbers.take(shape.m * shape.k);
    EXPECT_EQ(AmxCase(shape, values).product(w, 0, shape.n),
              AmxCase(shape, values).product(same, 0, shape.n));
  }
}

TEST(AmxTiles, WriteOnlyTheRowsAskedFor) {
  const AmxShape shape{20, 90, 40};
  Numbers numbers(1);
  const TestMatrix w(numbers.take(shape.n * shape.k), shape.n, shape.k, FormatId::bf16, 0);
  AmxCase amx(shape, numbers.take(shape.m * shape.k));
  const std::vector<float> whole = amx.product(w.matrix(), 0, shape.n);
  const std::vector<float> part = amx.product(w.matrix(), 32, 83);
  for (std::int64_t i = 0; i < shape.m * shape.n; ++i) {
    const bool asked = i % shape.n >= 32 && i % shape.n < 83;
    ASSERT_EQ(part[static_cast<std::size_t>(i)], asked ? whole[static_cast<std::size_t>(i)] : 12345.0f) << i;
  }
}

TEST(AmxTiles, PropagateNanOnlyWhereItBelongs) {
  const AmxShape shape{18, 20, 33};
  std::vector<float> weights(static_cast<std::size_t>(shape.n * shape.k), 1.0f);
  std::vector<float> values(static_cast<std::size_t>(shape.m * shape.k), 1.0f);
  weights[17 * 33 + 32] = std::nanf("");
  values[16 * 33 + 5] = std::nanf("");
  const TestMatrix w(weights, shape.n, shape.k, FormatId::bf16, 0);
  const std::vector<float> y = AmxCase(shape, values).product(w.matrix(), 0, shape.n);
  for (std::int64_t i = 0; i < shape.m * shape.n; ++i)
    EXPECT_EQ(std::isnan(y[static_cast<std::size_t>(i)]), i / shape.n == 16 || i % shape.n == 17) << i;
}

TEST(AmxTiles, PackLaysPairsOfKBesideEachOther) {
  if (detect_cpu_level() < CpuLevel::avx512_bf16) return;  // the machine cannot run it, nor the amx kernels
  const std::vector<std::int32_t> index = {3, 0, 18, 7, 7, 1, 12, 2, 19, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15};
  for (const std::int64_t cols : {1, 2, 15, 16, 17, 31, 32, 33, 64, 100}) {
    for (const std::int64_t rows : {1, 16, 19}) {
      const std::vector<float> source = Numbers(static_cast<std::uint32_t>(cols)).take(20 * cols);
      const ActivationRows x = {source.data(), cols, index.data(), rows, cols};
      AlignedBytes expected(packed_bytes(rows, cols));
      AlignedBytes actual(packed_bytes(rows, cols));
      const std::int64_t stride = (cols + kPackCols - 1) / kPackCols * kPackCols;
      PackedActivations packed{Arithmetic::bf16, PackLayout::bf16_tiles, rows, cols, stride, expected.data()};
      pack_plainly(x, packed);
      packed.memory = actual.data();
      // In two parts, as two threads would.
      const std::int64_t middle = std::min<std::int64_t>(rows, kPackRows);
      if (!probe_pack_bf16_tiles(x, packed, middle, rows)) return;
      probe_pack_bf16_tiles(x, packed, 0, middle);
      const auto bytes = static_cast<std::size_t>((rows + 15) / 16 * 16 * stride) * sizeof(std::uint16_t);
      EXPECT_EQ(std::memcmp(expected.data(), actual.data(), bytes), 0) << rows << " rows of " << cols;
    }
  }
}

TEST(AmxTiles, TheTransposedStoreWritesEveryCornerOfATile) {
  if (detect_cpu_level() < CpuLevel::avx512_bf16) return;  // the machine cannot run it, nor the amx kernels
  const std::vector<float> tile = Numbers(9).take(256);
  for (const int rows : {0, 1, 7, 16}) {
    for (const int columns : {0, 1, 9, 16}) {
      constexpr int kStride = 19;
      std::vector<float> y(16 * kStride, 12345.0f);
      if (!probe_store_columns(tile.data(), rows, columns, y.data(), kStride)) return;
      for (int j = 0; j < 16; ++j) {
        for (int i = 0; i < kStride; ++i) {
          const bool inside = i < rows && j < columns;
          const float expected = inside ? tile[static_cast<std::size_t>(i * 16 + j)] : 12345.0f;
          ASSERT_EQ(y[static_cast<std::size_t>(j * kStride + i)], expected) << rows << ' ' << columns;
        }
      }
    }
  }
}

}  // namespace
}  // namespace expertscope::cpu
