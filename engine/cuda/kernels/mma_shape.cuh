// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/products_tiled.cuh"

/// How the tiles of products_mma.cuh are shared out among warps, and where they lie in shared memory.
namespace expertscope::cuda {

/// How a tile of kMmaRows weight rows and T tokens is shared out among kWarps warps, each with kTall times 16
/// weight rows, and how much of it is in shared memory at a time: kStages times kDepth elements of a row. The
/// larger a warp's part, the less it reads from shared memory for a product, and that is what limits high
/// tiles.
template <class X, int T>
struct MmaPlan {
  static constexpr int kWarps = T >= 64 ? 4 : 8;
  static constexpr int kTall = T >= 64 ? 4 : 1;
  static constexpr int kDepth = 64;
  static constexpr int kStages = T >= 128 ? 3 : 4;
};
/// Floats take twice the shared memory of weights to read, and rounding them costs more than widening
/// weights: so a warp has more rows of weights.
template <int T>
struct MmaPlan<float, T> {
  static constexpr int kWarps = 8;
  static constexpr int kTall = T >= 128 ? 4 : 2;
  static constexpr int kDepth = T >= 128 ? 32 : 64;
  static constexpr int kStages = 3;
};

inline constexpr int kMmaRows = 128;  ///< rows of weights of a tile

template <class X, int T>
struct MmaShape : MmaPlan<X, T> {
  using MmaPlan<X, T>::kTall;
  using MmaPlan<X, T>::kDepth;
  static constexpr int kThreads = MmaPlan<X, T>::kWarps * kWarp;
  static constexpr int kWarpsDown = kMmaRows / 16 / kTall;                 ///< along the weight rows
  static constexpr int kWarpsAcross = MmaPlan<X, T>::kWarps / kWarpsDown;  ///< along the tokens
  static constexpr int kWide = T / (8 * kWarpsAcross);                     ///< times 8 tokens of a warp
  static constexpr int kWeightBytes = kMmaRows * kDepth * 2;  ///< of a stage, in front of the tokens
  static constexpr int kStageBytes = kWeightBytes + T * kDepth * static_cast<int>(sizeof(X));
  static constexpr int kSharedBytes = MmaPlan<X, T>::kStages * kStageBytes;
};

/// Output features of a tile: with silu_mul a tile holds as many rows of gate_proj as of up_proj.
template <Epilogue kEpilogue>
inline constexpr int kMmaFeatures = kEpilogue == Epilogue::silu_mul ? kMmaRows / 2 : kMmaRows;

/// Elements of type E in a chunk, the 16 bytes that are copied at a time.
template <class E>
inline constexpr int kMmaChunk = 16 / static_cast<int>(sizeof(E));

/// Where chunk `chunk` of a row lies among rows of kDepth elements. Chunks change places from row to row, so
/// that what is read at once falls into different banks: of 16-bit elements one chunk of eight rows, of
/// floats two neighbouring chunks of four rows.
template <class E, int kDepth>
__device__ inline int swizzled(int row, int chunk) {
  constexpr int kChunks = kDepth / kMmaChunk<E>;
  if constexpr (sizeof(E) == 4) {
    static_assert(kChunks >= 8);
    chunk ^= (row & 3) * 2;
  } else {
    static_assert(kChunks <= 8);
    chunk ^= (row & 7) / (8 / kChunks);  // the banks hold 8 chunks: one row, or several side by side
  }
  return row * kDepth + chunk * kMmaChunk<E>;
}

/// First of the 8 tokens that a warp's group `n` is. Groups go in pairs, and warps take turns: of a tile that
/// is not full all have something to do.
template <class X, int T>
__device__ inline int token_group(int across, int n) {
  return ((n / 2 * MmaShape<X, T>::kWarpsAcross + across) * 2 + n % 2) * 8;
}

}  // namespace expertscope::cuda
