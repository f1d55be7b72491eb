// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/dot.cuh"
#include "engine/cuda/step/device_step.h"

/// Products of many tokens in f32, tile by tile: the parity mode, F32 weights, and the router, whose logits
/// decide everything after them. The same kernel runs one matrix for all rows and one matrix per expert for
/// its rows.
namespace expertscope::cuda {

/// What happens to a sum.
enum class Epilogue : std::uint8_t {
  store,     ///< y = sum + bias
  add,       ///< y += sum + bias
  silu_mul,  ///< y = silu(sum of the gate row) * (sum of the up row)
};

/// y[row][n] = x[row] . w[n] for the rows of all tiles. X: float here, also bf16 in
/// products_mma.cuh.
template <class X>
struct TileProduct {
  const X* x = nullptr;                 ///< [.., stride]
  const std::int32_t* x_row = nullptr;  ///< [rows] gathers; null: row r reads x[r]
  const void* w = nullptr;              ///< [features (twice with silu_mul), stride]; null: see `table`
  const void* const* table = nullptr;   ///< [experts] matrices like `w`
  const RowTile* tile = nullptr;        ///< made by plan_tiles; null: rows 0 .. rows - 1 of one matrix
  const std::int32_t* tiles = nullptr;  ///< how many
  int rows = 0;                         ///< without `tile`
  int features = 0;                     ///< n
  int stride = 0;                       ///< elements of a row of x and w, padded with zeros
  void* y = nullptr;                    ///< float, or X with silu_mul
  int y_stride = 0;
  const float* bias = nullptr;  ///< [features], or null
};

/// The `index`-th tile of `tile_rows` rows; false when there are fewer.
template <class X>
__device__ inline bool take_tile(const TileProduct<X>& p, int index, int tile_rows, RowTile& tile) {
  if (p.tile != nullptr) {
    if (index >= *p.tiles) return false;
    tile = p.tile[index];
    return true;
  }
  const int first = index * tile_rows;
  if (first >= p.rows) return false;
  tile = {0, first, min(tile_rows, p.rows - first)};
  return true;
}

template <class X>
__device__ inline const void* weights_of(const TileProduct<X>& p, const RowTile& tile) {
  return p.table != nullptr ? p.table[tile.expert] : p.w;
}

/// One finished element.
template <Epilogue kEpilogue, class X>
__device__ inline void put(const TileProduct<X>& p, int row, int n, float sum, float up) {
  const std::size_t at =
      static_cast<std::size_t>(row) * static_cast<std::size_t>(p.y_stride) + static_cast<std::size_t>(n);
  if constexpr (kEpilogue == Epilogue::silu_mul) {
    store_activation(silu_mul(sum, up), static_cast<X*>(p.y) + at);
  } else {
    if (p.bias != nullptr) sum += p.bias[n];
    float* to = static_cast<float*>(p.y) + at;
    *to = kEpilogue == Epilogue::add ? *to + sum : sum;
  }
}

inline constexpr int kTiledThreads = 256;
inline constexpr int kTiledFeatures = 64;
inline constexpr int kTiledRows = 32;
inline constexpr int kTiledDepth = 32;

/// Rows of weights, widened, into shared memory: to[feature][k], one column of padding against bank
/// conflicts.
template <DeviceType kType>
__device__ inline void stage_weights(const void* w, int first, int features, int stride, int k0,
                                     float (&to)[kTiledFeatures][kTiledDepth + 1]) {
  constexpr int kElements = kPack<kType>;
  constexpr int kChunks = kTiledDepth / kElements;
  for (int c = static_cast<int>(threadIdx.x); c < kTiledFeatures * kChunks; c += kTiledThreads) {
    const int n = c / kChunks;
    const int k = c % kChunks * kElements;
    float values[kElements] = {};
    if (first + n < features && k0 + k < stride) {
      const auto* row = static_cast<const unsigned char*>(row_of(w, device_bytes(kType), stride, first + n));
      widen<kType>(load_streaming(row + static_cast<std::size_t>(k0 + k) * device_bytes(kType)), values);
    }
#pragma unroll
    for (int i = 0; i < kElements; ++i)
      to[n][k + i] = values[i];
  }
}

__device__ inline void stage_rows(const TileProduct<float>& p, const RowTile& tile, int k0,
                                  float (&to)[kTiledRows][kTiledDepth + 1]) {
  constexpr int kChunks = kTiledDepth / 4;
  for (int c = static_cast<int>(threadIdx.x); c < kTiledRows * kChunks; c += kTiledThreads) {
    const int r = c / kChunks;
    const int k = c % kChunks * 4;
    float values[4] = {};
    if (r < tile.rows && k0 + k < p.stride) {
      const int row = p.x_row != nullptr ? p.x_row[tile.first + r] : tile.first + r;
      load_activations(p.x + static_cast<std::size_t>(row) * static_cast<std::size_t>(p.stride) + (k0 + k),
                       values);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
      to[r][k + i] = values[i];
  }
}

/// Blocks: (features, with silu_mul y_stride / kTiledFeatures, tiles or fewer). A thread sums up 4 features
/// of 2 rows.
template <DeviceType kType, Epilogue kEpilogue>
__global__ void __launch_bounds__(kTiledThreads) tiled_product(TileProduct<float> p) {
  constexpr int kMatrices = kEpilogue == Epilogue::silu_mul ? 2 : 1;
  __shared__ float weights[kMatrices][kTiledFeatures][kTiledDepth + 1];
  __shared__ float rows[kTiledRows][kTiledDepth + 1];
  const int first = static_cast<int>(blockIdx.x) * kTiledFeatures;
  const int n0 = static_cast<int>(threadIdx.x) % 16;
  const int r0 = static_cast<int>(threadIdx.x) / 16;
  RowTile tile;
  for (int index = static_cast<int>(blockIdx.y); take_tile(p, index, kTiledRows, tile);
       index += static_cast<int>(gridDim.y)) {
    const auto* w = static_cast<const unsigned char*>(weights_of(p, tile));
    const std::size_t matrix =
        static_cast<std::size_t>(p.features) * static_cast<std::size_t>(p.stride) * device_bytes(kType);
    float sum[kMatrices][4][2] = {};
    for (int k0 = 0; k0 < p.stride; k0 += kTiledDepth) {
#pragma unroll
      for (int m = 0; m < kMatrices; ++m)
        stage_weights<kType>(w + static_cast<std::size_t>(m) * matrix, first, p.features, p.stride, k0,
                             weights[m]);
      stage_rows(p, tile, k0, rows);
      __syncthreads();
#pragma unroll 8
      for (int k = 0; k < kTiledDepth; ++k) {
        const float x[2] = {rows[r0][k], rows[r0 + 16][k]};
#pragma unroll
        for (int m = 0; m < kMatrices; ++m)
#pragma unroll
          for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 2; ++j)
              sum[m][i][j] += weights[m][n0 + 16 * i][k] * x[j];
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int n = first + n0 + 16 * i;
        const int r = r0 + 16 * j;
        // silu(0) * 0 fills the padding that the next product reads.
        const int end = kEpilogue == Epilogue::silu_mul ? p.y_stride : p.features;
        if (n < end && r < tile.rows)
          put<kEpilogue>(p, tile.first + r, n, sum[0][i][j], sum[kMatrices - 1][i][j]);
      }
    }
  }
}

}  // namespace expertscope::cuda
