// SPDX-License-Identifier: GPL-3.0-or-later
// Matrix products of many tokens, in f32 and on tensor cores, against sums written down plainly.
#include "tests/engine/cuda/kernels.h"

#include <cmath>
#include <cstring>
#include <memory>

#include "engine/cuda/kernels/products_mma.cuh"
#include "engine/cuda/kernels/products_tiled.cuh"

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

  Product(const Problem& problem, DType type, Epilogue epilogue, int tile_rows)
      : p_(problem), type_(type), epilogue_(epilogue) {
    const DType x_type = kRounds ? DType::bf16 : DType::f32;
    matrices_ = std::max<int>(1, static_cast<int>(p_.loads.size()));
    const int stacked = p_.features * (epilogue_ == Epilogue::silu_mul ? 2 : 1);
    x_ = random_floats(static_cast<std::size_t>(p_.rows * p_.width), 1);
    w_ = random_floats(static_cast<std::size_t>(matrices_ * stacked * p_.width), 2);
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
  DType type_;
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

template <DType kType, Epilogue kEpilogue>
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
  Product<Bf16> product(problem, DType::bf16, kEpilogue, T);
  const int end = kEpilogue == Epilogue::silu_mul ? product.y_stride() : problem.features;
  run(&mma_product<kEpilogue, T>,
      {blocks(blocks_for(end, kMmaFeatures<kEpilogue>), product.tiles() + more_blocks), kMmaThreads,
       static_cast<std::size_t>(mma_shared_bytes<T>())},
      product.on_device(false));
  expect_near(product.actual(), product.expected(false), kEpilogue == Epilogue::silu_mul ? 4e-3 : 2e-6,
              "bf16");
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
    expect_tiled<DType::f32, Epilogue::store>(problem, false, 0);
    expect_tiled<DType::f16, Epilogue::store>(problem, true, 0);
    expect_tiled<DType::bf16, Epilogue::store>(problem, false, 0);
  }
}

TEST(TiledProduct, AddsToWhatIsThere) {
  for (const Problem& problem : problems())
    expect_tiled<DType::f32, Epilogue::add>(problem, true, 0);
}

TEST(TiledProduct, GatesAndFillsThePaddingWithZeros) {
  for (const Problem& problem : problems()) {
    expect_tiled<DType::f32, Epilogue::silu_mul>(problem, false, 0);
    expect_tiled<DType::bf16, Epilogue::silu_mul>(problem, false, 0);
  }
}

TEST(TiledProduct, TakesFewerBlocksThanTiles) {
  expect_tiled<DType::f32, Epilogue::store>({129, 5, 9}, false, 3);
  expect_tiled<DType::f32, Epilogue::store>({70, 5, 9, {20, 0, 50}}, false, 2);
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

}  // namespace
}  // namespace expertscope::cuda
