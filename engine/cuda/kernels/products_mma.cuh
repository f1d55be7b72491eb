// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/instructions.cuh"
#include "engine/cuda/kernels/products_tiled.cuh"

/// Products of many tokens on tensor cores, bf16 with f32 sums. The weights are the left operand in the
/// layout of their file and the tokens the right one, whose smallest unit is 8: an expert with few tokens
/// wastes little. Rows are gathered while they are loaded, several stages ahead of the arithmetic.
namespace expertscope::cuda {

/// How a tile of kMmaRows weight rows and T tokens is shared out: kMmaWarps warps, each with kTall times 16
/// weight rows and kWide times 8 tokens.
template <int T>
struct MmaShape {
  static constexpr int kTall = T >= 64 ? 2 : 1;
  static constexpr int kWarpsDown = 8 / kTall;  ///< along the weight rows
  static constexpr int kWarpsAcross = kTall;    ///< along the tokens
  static constexpr int kWide = T / (8 * kWarpsAcross);
  static constexpr int kStages = T >= 128 ? 3 : 4;
};

inline constexpr int kMmaThreads = 256;
inline constexpr int kMmaRows = 128;  ///< rows of weights of a tile
inline constexpr int kMmaDepth = 64;  ///< elements of a row in a stage: 128 bytes
inline constexpr int kMmaChunks = kMmaDepth / 8;

/// Output features of a tile: with silu_mul a tile holds as many rows of gate_proj as of up_proj.
template <Epilogue kEpilogue>
inline constexpr int kMmaFeatures = kEpilogue == Epilogue::silu_mul ? kMmaRows / 2 : kMmaRows;

template <int T>
constexpr int mma_shared_bytes() {
  return MmaShape<T>::kStages * (kMmaRows + T) * kMmaDepth * 2;
}

/// Where chunk `chunk` (16 bytes) of a row lies: rows are 128 bytes, and chunks change places from row to
/// row, so that eight rows read at one chunk fall into different banks.
__device__ inline int swizzled(int row, int chunk) {
  return row * kMmaDepth + ((chunk ^ (row & 7)) * 8);
}

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

/// Starts the copies of one stage.
template <Epilogue kEpilogue, int T>
__device__ inline void load_stage(const TileProduct<Bf16>& p, const RowTile& tile, const Bf16* w, int first,
                                  int k0, Bf16* weights, Bf16* rows) {
  const int me = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int c = me; c < kMmaRows * kMmaChunks; c += kMmaThreads) {
    const int r = c / kMmaChunks;
    const int chunk = c % kMmaChunks;
    const int k = k0 + chunk * 8;
    bool there = false;
    const int row = weight_row<kEpilogue>(first, r, p.features, there);
    there = there && k < p.stride;
    const std::size_t at = there ? static_cast<std::size_t>(row) * static_cast<std::size_t>(p.stride) +
                                       static_cast<std::size_t>(k)
                                 : 0;
    copy_async_16(weights + swizzled(r, chunk), w + at, there);
  }
#pragma unroll
  for (int c = me; c < T * kMmaChunks; c += kMmaThreads) {
    const int r = c / kMmaChunks;
    const int chunk = c % kMmaChunks;
    const int k = k0 + chunk * 8;
    const bool there = r < tile.rows && k < p.stride;
    std::size_t at = 0;
    if (there) {
      const int row = p.x_row != nullptr ? p.x_row[tile.first + r] : tile.first + r;
      at = static_cast<std::size_t>(row) * static_cast<std::size_t>(p.stride) + static_cast<std::size_t>(k);
    }
    copy_async_16(rows + swizzled(r, chunk), p.x + at, there);
  }
  copy_async_commit();
}

/// One stage's arithmetic of a warp.
template <int T>
__device__ inline void multiply_stage(const Bf16* weights, const Bf16* rows, int down, int across,
                                      float (&sum)[MmaShape<T>::kTall][MmaShape<T>::kWide][4]) {
  using S = MmaShape<T>;
  const int lane = lane_index();
#pragma unroll
  for (int chunk = 0; chunk < kMmaChunks; chunk += 2) {
    std::uint32_t a[S::kTall][4];
#pragma unroll
    for (int m = 0; m < S::kTall; ++m) {
      const int row = (down * S::kTall + m) * 16 + lane % 16;
      load_matrix_x4(a[m], weights + swizzled(row, chunk + lane / 16));
    }
#pragma unroll
    for (int n = 0; n < S::kWide; n += 2) {
      std::uint32_t both[4];
      const int row = (across * S::kWide + n) * 8 + lane / 16 * 8 + lane % 8;
      load_matrix_x4(both, rows + swizzled(row, chunk + lane / 8 % 2));
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

/// Blocks: (features / kMmaFeatures, tiles or more); dynamic shared memory: mma_shared_bytes<T>().
template <Epilogue kEpilogue, int T>
__global__ void __launch_bounds__(kMmaThreads) mma_product(TileProduct<Bf16> p) {
  using S = MmaShape<T>;
  RowTile tile;
  if (!take_tile(p, static_cast<int>(blockIdx.y), T, tile)) return;
  auto* shared = reinterpret_cast<Bf16*>(dynamic_shared());
  constexpr int kStageElements = (kMmaRows + T) * kMmaDepth;
  const auto* w = static_cast<const Bf16*>(weights_of(p, tile));
  const int first = static_cast<int>(blockIdx.x) * kMmaFeatures<kEpilogue>;
  const int stages = (p.stride + kMmaDepth - 1) / kMmaDepth;
  const int down = warp_index() % S::kWarpsDown;
  const int across = warp_index() / S::kWarpsDown;
  float sum[S::kTall][S::kWide][4] = {};

#pragma unroll
  for (int s = 0; s < S::kStages - 1; ++s) {
    Bf16* stage = shared + s * kStageElements;
    if (s < stages)
      load_stage<kEpilogue, T>(p, tile, w, first, s * kMmaDepth, stage, stage + kMmaRows * kMmaDepth);
    else
      copy_async_commit();  // an empty group keeps the count
  }
  for (int s = 0; s < stages; ++s) {
    copy_async_wait<S::kStages - 2>();
    __syncthreads();  // stage s is there for all, and all are done with the one that is filled next
    const int next = s + S::kStages - 1;
    Bf16* to = shared + next % S::kStages * kStageElements;
    if (next < stages)
      load_stage<kEpilogue, T>(p, tile, w, first, next * kMmaDepth, to, to + kMmaRows * kMmaDepth);
    else
      copy_async_commit();
    const Bf16* stage = shared + s % S::kStages * kStageElements;
    multiply_stage<T>(stage, stage + kMmaRows * kMmaDepth, down, across, sum);
  }
  copy_async_wait<0>();

  const int group = lane_index() / 4;
  const int end = kEpilogue == Epilogue::silu_mul ? p.y_stride : p.features;
#pragma unroll
  for (int m = 0; m < S::kTall; ++m) {
#pragma unroll
    for (int n = 0; n < S::kWide; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int r = (across * S::kWide + n) * 8 + lane_index() % 4 * 2 + j;
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

}  // namespace expertscope::cuda
