// SPDX-License-Identifier: GPL-3.0-or-later
// Matrix products of many tokens, in f32 and on tensor cores, against sums written down plainly.
#include "tests/engine/cuda/kernels.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <set>

#include "engine/cuda/kernels/products_mma.cuh"
#include "engine/cuda/kernels/products_tiled.cuh"
#include "engine/cuda/products.h"
#include "engine/cuda/tiles.h"

namespace expertscope::cuda {
namespace {

/// One matrix for all rows, or one an expert for rows sorted by expert.
struct Problem {
  int rows = 1;
  int features = 1;
  int width = 1;
  std::vector<int> loads = {};  ///< rows of each expert; empty: one matrix
  bool gather = false;          ///< sorted row r reads x[(r * 7) % rows]
};
void PrintTo(const Problem& p, std::ostream* out) {
  *out << p.rows << " rows, " << p.features << " x " << p.width << ", " << p.loads.size() << " experts";
}

/// Rounded to 11 significant bits, ties away from zero, by arithmetic.
float rounded_to_tf32(float value) {
  int exponent = 0;
  const float significand = std::frexp(value, &exponent);
  return std::ldexp(std::round(std::ldexp(significand, 11)), exponent - 11);
}

template <class X>
std::vector<X> as(const std::vector<std::uint8_t>& bytes) {
  std::vector<X> values(bytes.size() / sizeof(X));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// A product on the device and what it should give.
template <class X>
class Product {
 public:
  static constexpr bool kRounds = sizeof(X) == 2;

  /// `outlier`: what every fifth row has as its third activation, if it is not zero.
  Product(const Problem& problem, DeviceType type, Epilogue epilogue, int tile_rows, float outlier = 0)
      : p_(problem), type_(type), epilogue_(epilogue) {
    const DeviceType x_type = kRounds ? DeviceType::bf16 : DeviceType::f32;
    matrices_ = std::max<int>(1, static_cast<int>(p_.loads.size()));
    const int stacked = p_.features * (epilogue_ == Epilogue::silu_mul ? 2 : 1);
    x_ = random_floats(static_cast<std::size_t>(p_.rows * p_.width), 1);
    w_ = random_floats(static_cast<std::size_t>(matrices_ * stacked * p_.width), 2);
    for (int r = 0; outlier != 0 && p_.width > 2 && r < p_.rows; r += 5)
      x_[static_cast<std::size_t>(r * p_.width + 2)] = outlier;
    for (float& value : x_)
      value = stored(value, x_type);
    for (float& value : w_)
      value = stored(0.3f * value, type_);
    y_ = random_floats(static_cast<std::size_t>(p_.rows * p_.features), 3);
    bias_ = random_floats(static_cast<std::size_t>(p_.features), 4);
    place_tiles(tile_rows);
    x_device_ = std::make_unique<Array<X>>(as<X>(rows_of(x_, p_.width, padded(p_.width), x_type)));
    w_device_ = std::make_unique<Array<std::uint8_t>>(rows_of(w_, p_.width, padded(p_.width), type_));
    bias_device_ = std::make_unique<Array<float>>(bias_);
    make_output();
  }

  TileProduct<X> on_device(bool with_bias) {
    TileProduct<X> product;
    product.x = x_device_->data();
    product.w = w_device_->data();
    product.rows = p_.rows;
    product.features = p_.features;
    product.stride = padded(p_.width);
    product.y_stride = y_stride();
    product.y = epilogue_ == Epilogue::silu_mul ? static_cast<void*>(inner_->data()) : y_device_->data();
    product.bias = with_bias ? bias_device_->data() : nullptr;
    if (!p_.loads.empty()) {
      product.w = nullptr;
      product.table = table_->data();
      product.tile = tile_device_->data();
      product.tiles = tile_count_->data();
    }
    if (p_.gather) product.x_row = x_row_->data();
    return product;
  }

  /// What is expected is computed from rounded activations from now on; the device keeps its own.
  void expect_tf32() {
    for (float& value : x_)
      value = rounded_to_tf32(value);
  }

  int y_stride() const { return epilogue_ == Epilogue::silu_mul ? padded(p_.features) : p_.features; }
  int tiles() const { return static_cast<int>(tile_.size()); }

  std::vector<float> actual() const {
    if (epilogue_ != Epilogue::silu_mul) return y_device_->read();
    std::vector<float> values;
    for (const X value : inner_->read())
      values.push_back(load_activation(&value));
    return values;
  }

  std::vector<float> expected(bool with_bias) const {
    std::vector<float> values(static_cast<std::size_t>(p_.rows * y_stride()));
    const std::size_t matrix =
        static_cast<std::size_t>(p_.features * p_.width) * (epilogue_ == Epilogue::silu_mul ? 2 : 1);
    for (const RowTile& tile : tile_) {
      for (int r = tile.first; r < tile.first + tile.rows; ++r) {
        for (int n = 0; n < p_.features; ++n) {
          const float* w = w_.data() + static_cast<std::size_t>(tile.expert) * matrix;
          float value = dot(source(r), w + static_cast<std::ptrdiff_t>(n) * p_.width);
          const auto at = static_cast<std::size_t>(r * y_stride() + n);
          if (epilogue_ == Epilogue::silu_mul) {
            const float up = dot(source(r), w + static_cast<std::ptrdiff_t>(p_.features + n) * p_.width);
            value = value / (1 + std::exp(-value)) * up;
          } else if (with_bias) {
            value += bias_[static_cast<std::size_t>(n)];
          }
          if (epilogue_ == Epilogue::add) value += y_[at];
          values[at] = value;
        }
      }
    }
    return values;
  }

 private:
  int source(int r) const { return p_.gather ? r * 7 % p_.rows : r; }
  float dot(int row, const float* w) const {
    double sum = 0;
    for (int k = 0; k < p_.width; ++k)
      sum += static_cast<double>(x_[static_cast<std::size_t>(row * p_.width + k)]) * w[k];
    return static_cast<float>(sum);
  }

  void place_tiles(int tile_rows) {
    std::vector<int> loads = p_.loads;
    if (loads.empty()) loads = {p_.rows};
    int first = 0;
    for (int e = 0; e < static_cast<int>(loads.size()); ++e) {
      const int end = first + loads[static_cast<std::size_t>(e)];
      for (; first < end; first += tile_rows)
        tile_.push_back({e, first, std::min(tile_rows, end - first)});
      first = end;
    }
  }

  void make_output() {
    if (epilogue_ == Epilogue::silu_mul)
      inner_ = std::make_unique<Array<X>>(static_cast<std::size_t>(p_.rows * y_stride()));
    else
      y_device_ = std::make_unique<Array<float>>(y_);
    std::vector<std::int32_t> rows(static_cast<std::size_t>(p_.rows));
    for (int r = 0; r < p_.rows; ++r)
      rows[static_cast<std::size_t>(r)] = source(r);
    x_row_ = std::make_unique<Array<std::int32_t>>(rows);
    std::vector<const void*> table;
    const std::size_t bytes = w_device_->read().size() / static_cast<std::size_t>(matrices_);
    for (int e = 0; e < matrices_; ++e)
      table.push_back(w_device_->data() + static_cast<std::size_t>(e) * bytes);
    table_ = std::make_unique<Array<const void*>>(table);
    tile_device_ = std::make_unique<Array<RowTile>>(tile_);
    tile_count_ = std::make_unique<Array<std::int32_t>>(std::vector{tiles()});
  }

  Problem p_;
  DeviceType type_;
  Epilogue epilogue_;
  int matrices_ = 1;
  std::vector<float> x_, w_, y_, bias_;
  std::vector<RowTile> tile_;
  std::unique_ptr<Array<X>> x_device_, inner_;
  std::unique_ptr<Array<std::uint8_t>> w_device_;
  std::unique_ptr<Array<float>> y_device_, bias_device_;
  std::unique_ptr<Array<std::int32_t>> x_row_, tile_count_;
  std::unique_ptr<Array<const void*>> table_;
  std::unique_ptr<Array<RowTile>> tile_device_;
};

int blocks_for(int features, int tile) {
  return (features + tile - 1) / tile;
}

template <DeviceType kType, Epilogue kEpilogue>
void expect_tiled(const Problem& problem, bool with_bias, int fewer_blocks) {
  SCOPED_TRACE(testing::PrintToString(problem));
  Product<float> product(problem, kType, kEpilogue, kTiledRows);
  const int end = kEpilogue == Epilogue::silu_mul ? product.y_stride() : problem.features;
  const int tiles = std::max(1, product.tiles() - fewer_blocks);
  run(&tiled_product<kType, kEpilogue>, {blocks(blocks_for(end, kTiledFeatures), tiles), kTiledThreads, 0},
      product.on_device(with_bias));
  expect_near(product.actual(), product.expected(with_bias), 2e-6, "f32");
}

template <Epilogue kEpilogue, int T>
void expect_mma(const Problem& problem, int more_blocks) {
  SCOPED_TRACE(testing::PrintToString(problem) + ", tiles of " + std::to_string(T));
  Product<Bf16> product(problem, DeviceType::bf16, kEpilogue, T);
  const int end = kEpilogue == Epilogue::silu_mul ? product.y_stride() : problem.features;
  run(&mma_product<Bf16, kEpilogue, T>,
      {blocks(blocks_for(end, kMmaFeatures<kEpilogue>), product.tiles() + more_blocks),
       MmaShape<Bf16, T>::kThreads, static_cast<std::size_t>(MmaShape<Bf16, T>::kSharedBytes)},
      product.on_device(false));
  expect_near(product.actual(), product.expected(false), kEpilogue == Epilogue::silu_mul ? 4e-3 : 2e-6,
              "bf16");
}

/// F16 weights. What is left besides the rounding of the activations is that of sums in f32.
void expect_tf32(const Problem& problem, Epilogue epilogue, int height, unsigned more_blocks,
                 bool with_bias = false, float outlier = 0) {
  SCOPED_TRACE(testing::PrintToString(problem) + ", tiles of " + std::to_string(height));
  Product<float> product(problem, DeviceType::f16, epilogue, height, outlier);
  const NextOrder order;
  Queue queue(nullptr);
  queue.enter("a product");
  launch_tiles(queue, TileMath::tf32, DeviceType::f16, epilogue, product.on_device(with_bias), height,
               tile_blocks(product.tiles()) + more_blocks);
  queue.wait();
  const Status ok = queue.take_status();
  ASSERT_TRUE(ok) << ok.error().message << "\n" << simt::last_failure();
  product.expect_tf32();
  expect_near(product.actual(), product.expected(with_bias), 2e-6, "tf32");
}

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = {
      {1, 1, 1},
      {7, 63, 24},
      {16, 65, 7},
      {33, 130, 65},
      {129, 65, 24},
      {17, 63, 200},
      {33, 65, 24, {33}},
      {40, 63, 65, {0, 3, 0, 33, 4, 0}, true},
      {9, 130, 7, {1, 1, 0, 7}, true},
  };
  return all;
}

TEST(TiledProduct, StoresSumsOfEveryTypeOfWeights) {
  for (const Problem& problem : problems()) {
    expect_tiled<DeviceType::f32, Epilogue::store>(problem, false, 0);
    expect_tiled<DeviceType::f16, Epilogue::store>(problem, true, 0);
    expect_tiled<DeviceType::bf16, Epilogue::store>(problem, false, 0);
  }
}

TEST(TiledProduct, AddsToWhatIsThere) {
  for (const Problem& problem : problems())
    expect_tiled<DeviceType::f32, Epilogue::add>(problem, true, 0);
}

TEST(TiledProduct, GatesAndFillsThePaddingWithZeros) {
  for (const Problem& problem : problems()) {
    expect_tiled<DeviceType::f32, Epilogue::silu_mul>(problem, false, 0);
    expect_tiled<DeviceType::bf16, Epilogue::silu_mul>(problem, false, 0);
  }
}

TEST(TiledProduct, TakesFewerBlocksThanTiles) {
  expect_tiled<DeviceType::f32, Epilogue::store>({129, 5, 9}, false, 3);
  expect_tiled<DeviceType::f32, Epilogue::store>({70, 5, 9, {20, 0, 50}}, false, 2);
}

template <int T>
void expect_all_mma() {
  for (const Problem& problem : problems()) {
    expect_mma<Epilogue::store, T>(problem, 0);
    expect_mma<Epilogue::silu_mul, T>(problem, 1);
  }
  expect_mma<Epilogue::add, T>({33, 65, 24}, 2);
}

TEST(MmaProduct, InTilesOf16Rows) {
  expect_all_mma<16>();
}
TEST(MmaProduct, InTilesOf32Rows) {
  expect_all_mma<32>();
}
TEST(MmaProduct, InTilesOf64Rows) {
  expect_all_mma<64>();
}
TEST(MmaProduct, InTilesOf128Rows) {
  expect_all_mma<128>();
}

TEST(MmaProduct, ReadsManyStages) {
  expect_mma<Epilogue::store, 16>({5, 9, 64 * 9 + 1}, 0);
  expect_mma<Epilogue::store, 128>({5, 9, 64 * 7}, 0);
}

class Tf32Product : public testing::TestWithParam<int> {};

TEST_P(Tf32Product, StoresAddsAndGates) {
  for (const Problem& problem : problems()) {
    expect_tf32(problem, Epilogue::store, GetParam(), 0, true);
    expect_tf32(problem, Epilogue::add, GetParam(), 2);
    expect_tf32(problem, Epilogue::silu_mul, GetParam(), 1);
  }
}

TEST_P(Tf32Product, ReadsManyStages) {
  expect_tf32({5, 9, 64 * 9 + 1}, Epilogue::store, GetParam(), 0);
}

/// Activations of super experts: f16 would end at 65504, and with it a product of f16 numbers.
TEST_P(Tf32Product, TakesActivationsThatF16CannotHold) {
  expect_tf32({33, 65, 24}, Epilogue::store, GetParam(), 0, false, 1e6f);
  expect_tf32({40, 63, 65, {0, 3, 0, 33, 4, 0}, true}, Epilogue::silu_mul, GetParam(), 0, false, 1e6f);
}

INSTANTIATE_TEST_SUITE_P(Heights, Tf32Product, testing::Values(32, 128),
                         [](const auto& test) { return "of_" + std::to_string(test.param); });

/// A dense product of all rows; `exact`: as the router's.
void expect_dense(MathMode math, DeviceType type, bool exact, bool in_tf32) {
  SCOPED_TRACE(testing::Message() << static_cast<int>(type) << (exact ? ", exact" : ""));
  const Problem problem{33, 130, 65};
  Product<float> product(problem, type, Epilogue::store, kTiledRows);
  Products products;
  ASSERT_TRUE(products.create(nullptr, math));
  const TileProduct<float> on_device = product.on_device(false);
  const DeviceMatrix w{on_device.w, type, problem.features, problem.width, on_device.stride};
  auto* y = static_cast<float*>(on_device.y);
  Queue queue(nullptr);
  if (exact)
    Products::run_f32(queue, w, on_device.x, problem.rows, y, on_device.y_stride);
  else
    products.run(queue, w, false, on_device.x, problem.rows, y, on_device.y_stride, ProductEnd::store);
  queue.wait();
  ASSERT_TRUE(queue.take_status());
  if (in_tf32) product.expect_tf32();
  expect_near(product.actual(), product.expected(false), 2e-6, "y");
}

TEST(DenseProducts, TakeTf32ForF16WeightsInBf16ModeAlone) {
  expect_dense(MathMode::bf16, DeviceType::f16, false, true);
  expect_dense(MathMode::bf16, DeviceType::f16, true, false);
  expect_dense(MathMode::bf16, DeviceType::f32, false, false);
  expect_dense(MathMode::f32, DeviceType::f16, false, false);
  expect_dense(MathMode::f32, DeviceType::bf16, false, false);
}

TEST(TileRows, FollowTheRowsOfAMatrix) {
  EXPECT_EQ(tile_rows(TileMath::f32, 4096, 1, 8192), kTiledRows) << "there is one height";
  EXPECT_EQ(tile_rows(TileMath::tf32, 4096, 1, 8192), 128);
  EXPECT_EQ(tile_rows(TileMath::tf32, 64, 1, 150000), 32) << "high tiles would be half empty";
  EXPECT_EQ(tile_rows(TileMath::tf32, 512, 1, 2048), 32)
      << "few high tiles would keep few multiprocessors busy";
  EXPECT_EQ(tile_rows(TileMath::tf32, 4096, 128, 2048), 32) << "32 rows an expert";
  EXPECT_EQ(tile_rows(TileMath::tf32, 16384, 128, 2048), 128) << "128 rows an expert";
}

/// Pieces of `size` bytes of shared memory that are read or written at once: no two may share a bank.
void expect_different_banks(const std::vector<int>& bytes, int size) {
  std::set<int> banks;
  for (const int at : bytes)
    for (int i = 0; i < size; i += 4)
      EXPECT_TRUE(banks.insert((at + i) / 4 % 32).second) << "byte " << at;
}

template <class E, int kDepth>
void expect_free_of_conflicts() {
  SCOPED_TRACE(testing::Message() << sizeof(E) << " bytes an element, " << kDepth << " in a row");
  constexpr int kChunks = kDepth / kMmaChunk<E>;
  const auto byte_of = [](int row, int chunk) {
    return swizzled<E, kDepth>(row, chunk) * static_cast<int>(sizeof(E));
  };
  for (int first = 0; first < 16 * kChunks; first += 8) {  // copies: eight threads write 128 bytes
    std::vector<int> bytes;
    for (int c = first; c < first + 8; ++c)
      bytes.push_back(byte_of(c / kChunks, c % kChunks));
    expect_different_banks(bytes, 16);
  }
  for (int row = 0; row < 16; row += sizeof(E) == 4 ? 4 : 8) {
    for (int chunk = 0; chunk < kChunks; chunk += sizeof(E) == 4 ? 2 : 1) {
      std::vector<int> bytes;
      for (int lane = 0; sizeof(E) == 2 && lane < 8; ++lane)  // a matrix of load_matrix_x4
        bytes.push_back(byte_of(row + lane, chunk));
      for (int lane = 0; sizeof(E) == 4 && lane < 16; ++lane)  // half a warp with 8 bytes each
        bytes.push_back(byte_of(row + lane / 4, chunk + lane % 4 / 2) + lane % 2 * 8);
      expect_different_banks(bytes, sizeof(E) == 4 ? 8 : 16);
    }
  }
}

TEST(SharedMemoryOfTiles, IsFreeOfBankConflicts) {
  expect_free_of_conflicts<std::uint16_t, 32>();
  expect_free_of_conflicts<std::uint16_t, 64>();
  expect_free_of_conflicts<float, 32>();
  expect_free_of_conflicts<float, 64>();
}

}  // namespace
}  // namespace expertscope::cuda
