// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/instructions.cuh"
#include "engine/cuda/kernels/mma_shape.cuh"
#include "engine/cuda/kernels/products_tiled.cuh"

/// Products of many tokens on tensor cores with f32 sums. The weights are the left operand in the layout of
/// their file and the tokens the right one, whose smallest unit is 8: an expert with few tokens wastes
/// little. Rows are gathered while they are loaded, several stages ahead of the arithmetic.
///
/// The type X of the activations says which arithmetic it is. Bf16: BF16 weights, a bf16 product. float: F16
/// weights, a tf32 product, for which the activations are rounded in registers.
namespace expertscope::cuda {

/// The weight row behind row `r` of a tile. With silu_mul every 16 rows are 8 of gate_proj and, below them,
/// the same 8 of up_proj: a lane then holds a gate and its up in one fragment.
template <Epilogue kEpilogue>
__device__ inline int weight_row(int first, int r, int features, bool& there) {
  if constexpr (kEpilogue == Epilogue::silu_mul) {
    const int feature = first + r / 16 * 8 + r % 8;
    there = feature < features;
    return r % 16 < 8 ? feature : features + feature;
  } else {
    there = first + r < features;
    return first + r;
  }
}

/// The rows of x that a thread copies, stage after stage; -1: zeros.
template <class X, int T>
struct SourceRows {
  using S = MmaShape<X, T>;
  static constexpr int kChunks = S::kDepth / kMmaChunk<X>;  ///< of a row in a stage
  static constexpr int kCount = (T * kChunks + S::kThreads - 1) / S::kThreads;

  __device__ SourceRows(const TileProduct<X>& p, const RowTile& tile) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int r = (static_cast<int>(threadIdx.x) + i * S::kThreads) / kChunks;
      row[i] = -1;
      if (r < tile.rows) row[i] = p.x_row != nullptr ? p.x_row[tile.first + r] : tile.first + r;
    }
  }

  int row[kCount];
};

/// Starts the copies of one stage, weights and tokens.
template <class X, Epilogue kEpilogue, int T>
__device__ inline void load_stage(const TileProduct<X>& p, const RowTile& tile,
                                  const SourceRows<X, T>& source, const std::uint16_t* w, int first, int k0,
                                  unsigned char* stage) {
  using S = MmaShape<X, T>;
  const int me = static_cast<int>(threadIdx.x);
  auto* weights = reinterpret_cast<std::uint16_t*>(stage);
  auto* rows = reinterpret_cast<X*>(stage + S::kWeightBytes);
  constexpr int kWeightChunks = S::kDepth / kMmaChunk<std::uint16_t>;
#pragma unroll
  for (int i = 0; i < kMmaRows * kWeightChunks / S::kThreads; ++i) {
    const int c = me + i * S::kThreads;
    const int r = c / kWeightChunks;
    const int chunk = c % kWeightChunks;
    const int k = k0 + chunk * kMmaChunk<std::uint16_t>;
    bool there = false;
    const int row = weight_row<kEpilogue>(first, r, p.features, there);
    there = there && k < p.stride;
    const std::size_t at = there ? static_cast<std::size_t>(row) * static_cast<std::size_t>(p.stride) +
                                       static_cast<std::size_t>(k)
                                 : 0;
    copy_async_16(weights + swizzled<std::uint16_t, S::kDepth>(r, chunk), w + at, there);
  }
  // bf16 products leave out what is behind a tile's tokens, by 16; tf32 products have no register to know it.
  const int end = sizeof(X) == 2 ? (tile.rows + 15) / 16 * 16 : T;
#pragma unroll
  for (int i = 0; i < SourceRows<X, T>::kCount; ++i) {
    const int c = me + i * S::kThreads;
    const int r = c / SourceRows<X, T>::kChunks;
    const int chunk = c % SourceRows<X, T>::kChunks;
    const int k = k0 + chunk * kMmaChunk<X>;
    const bool there = source.row[i] >= 0 && k < p.stride;
    const std::size_t at =
        there ? static_cast<std::size_t>(source.row[i]) * static_cast<std::size_t>(p.stride) +
                    static_cast<std::size_t>(k)
              : 0;
    if (r < min(end, T)) copy_async_16(rows + swizzled<X, S::kDepth>(r, chunk), p.x + at, there);
  }
  copy_async_commit();
}

template <class X, int T>
using MmaSums = float[MmaShape<X, T>::kTall][MmaShape<X, T>::kWide][4];

/// One stage's arithmetic of a warp, in bf16, for the tile's `tokens`.
template <int T>
__device__ inline void multiply_stage(const std::uint16_t* weights, const Bf16* rows, int tokens, int down,
                                      int across, MmaSums<Bf16, T>& sum) {
  using S = MmaShape<Bf16, T>;
  const int lane = lane_index();
#pragma unroll
  for (int chunk = 0; chunk < S::kDepth / 8; chunk += 2) {
    std::uint32_t a[S::kTall][4];
#pragma unroll
    for (int m = 0; m < S::kTall; ++m) {
      const int row = (down * S::kTall + m) * 16 + lane % 16;
      load_matrix_x4(a[m], weights + swizzled<std::uint16_t, S::kDepth>(row, chunk + lane / 16));
    }
#pragma unroll
    for (int n = 0; n < S::kWide; n += 2) {
      const int group = token_group<Bf16, T>(across, n);
      if (group >= tokens) break;
      std::uint32_t both[4];
      const int row = group + lane / 16 * 8 + lane % 8;
      load_matrix_x4(both, rows + swizzled<Bf16, S::kDepth>(row, chunk + lane / 8 % 2));
      const std::uint32_t left[2] = {both[0], both[1]};
      const std::uint32_t right[2] = {both[2], both[3]};
#pragma unroll
      for (int m = 0; m < S::kTall; ++m) {
        mma_bf16(sum[m][n], a[m], left);
        mma_bf16(sum[m][n + 1], a[m], right);
      }
    }
  }
}

/// A pair of f16 weights as tf32 numbers.
__device__ inline void widen_pair(std::uint32_t pair, std::uint32_t& low, std::uint32_t& high) {
  low = __float_as_uint(widen_f16(static_cast<std::uint16_t>(pair & 0xffffu)));
  high = __float_as_uint(widen_f16(static_cast<std::uint16_t>(pair >> 16)));
}

/// The same in tf32, chunk by chunk of the weights, 32 rows of them at a time. The sum may take k in any
/// order, so fragments of 16-bit weights serve as they are: columns 2p and 2p + 1 of a chunk stand for
/// columns p and p + 4 of mma_tf32, and the lane's activations are the two neighbours of the same columns.
template <int T>
__device__ inline void multiply_stage(const std::uint16_t* weights, const float* rows, int /*tokens*/,
                                      int down, int across, MmaSums<float, T>& sum) {
  using S = MmaShape<float, T>;
  const int lane = lane_index();
#pragma unroll
  for (int chunk = 0; chunk < S::kDepth / 8; ++chunk) {
    std::uint32_t b[S::kWide][2];
#pragma unroll
    for (int n = 0; n < S::kWide; ++n) {
      const int group = token_group<float, T>(across, n);
      const int row = group + lane / 4;
      const int at = swizzled<float, S::kDepth>(row, chunk * 2 + lane % 4 / 2) + lane % 2 * 2;
      const float2 x = load_pair(rows + at);
      b[n][0] = round_tf32(x.x);
      b[n][1] = round_tf32(x.y);
    }
#pragma unroll
    for (int m = 0; m < S::kTall; m += 2) {
      std::uint32_t pairs[4];
      const int row = (down * S::kTall + m) * 16 + lane;
      load_matrix_x4(pairs, weights + swizzled<std::uint16_t, S::kDepth>(row, chunk));
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        std::uint32_t a[4];
        widen_pair(pairs[2 * i], a[0], a[2]);
        widen_pair(pairs[2 * i + 1], a[1], a[3]);
#pragma unroll
        for (int n = 0; n < S::kWide; ++n)
          mma_tf32(sum[m + i][n], a, b[n]);
      }
    }
  }
}

/// A warp's sums leave for y.
template <class X, Epilogue kEpilogue, int T>
__device__ inline void store_sums(const TileProduct<X>& p, const RowTile& tile, int first, int down,
                                  int across, const MmaSums<X, T>& sum) {
  using S = MmaShape<X, T>;
  const int group = lane_index() / 4;
  const int end = kEpilogue == Epilogue::silu_mul ? p.y_stride : p.features;
#pragma unroll
  for (int m = 0; m < S::kTall; ++m) {
#pragma unroll
    for (int n = 0; n < S::kWide; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int r = token_group<X, T>(across, n) + lane_index() % 4 * 2 + j;
        if (r >= tile.rows) continue;
        const int tall = (down * S::kTall + m);
        if constexpr (kEpilogue == Epilogue::silu_mul) {
          const int feature = first + tall * 8 + group;
          if (feature < end) put<kEpilogue>(p, tile.first + r, feature, sum[m][n][j], sum[m][n][2 + j]);
        } else {
          const int feature = first + tall * 16 + group;
          if (feature < end) put<kEpilogue>(p, tile.first + r, feature, sum[m][n][j], 0.0f);
          if (feature + 8 < end) put<kEpilogue>(p, tile.first + r, feature + 8, sum[m][n][2 + j], 0.0f);
        }
      }
    }
  }
}

/// Blocks: (features / kMmaFeatures, tiles or more); dynamic shared memory: MmaShape<X, T>::kSharedBytes.
template <class X, Epilogue kEpilogue, int T>
__global__ void __launch_bounds__((MmaShape<X, T>::kThreads)) mma_product(TileProduct<X> p) {
  using S = MmaShape<X, T>;
  RowTile tile;
  if (!take_tile(p, static_cast<int>(blockIdx.y), T, tile)) return;
  unsigned char* shared = dynamic_shared();
  const auto* w = static_cast<const std::uint16_t*>(weights_of(p, tile));
  const int first = static_cast<int>(blockIdx.x) * kMmaFeatures<kEpilogue>;
  const int stages = (p.stride + S::kDepth - 1) / S::kDepth;
  const int down = warp_index() % S::kWarpsDown;
  const int across = warp_index() / S::kWarpsDown;
  const SourceRows<X, T> source(p, tile);
  MmaSums<X, T> sum = {};

#pragma unroll
  for (int s = 0; s < S::kStages - 1; ++s) {
    if (s < stages)
      load_stage<X, kEpilogue, T>(p, tile, source, w, first, s * S::kDepth, shared + s * S::kStageBytes);
    else
      copy_async_commit();  // an empty group keeps the count
  }
  for (int s = 0; s < stages; ++s) {
    copy_async_wait<S::kStages - 2>();
    __syncthreads();  // stage s is there for all, and all are done with the one that is filled next
    const int next = s + S::kStages - 1;
    if (next < stages)
      load_stage<X, kEpilogue, T>(p, tile, source, w, first, next * S::kDepth,
                                  shared + next % S::kStages * S::kStageBytes);
    else
      copy_async_commit();
    const unsigned char* stage = shared + s % S::kStages * S::kStageBytes;
    multiply_stage<T>(reinterpret_cast<const std::uint16_t*>(stage),
                      reinterpret_cast<const X*>(stage + S::kWeightBytes), tile.rows, down, across, sum);
  }
  copy_async_wait<0>();
  store_sums<X, kEpilogue, T>(p, tile, first, down, across, sum);
}

}  // namespace expertscope::cuda
