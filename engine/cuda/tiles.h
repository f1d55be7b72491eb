// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/cuda/device_type.h"
#include "engine/cuda/runtime/queue.h"

/// Products of many tokens whose activations are f32: what dense products and experts have in common. Experts
/// of BF16 weights with bf16 activations are in experts.cu.
namespace expertscope::cuda {

enum class Epilogue : std::uint8_t;
template <class X>
struct TileProduct;

/// How the products are computed; sums are f32 in both.
enum class TileMath : std::uint8_t {
  f32,   ///< in f32, for weights of any type
  tf32,  ///< on tensor cores, for F16 weights: tf32 holds them exactly, and activations are rounded to it
};

/// Rows of a tile for `rows` rows of activations shared out among `matrices` matrices of `features` rows.
int tile_rows(TileMath math, int rows, int matrices, int features);

/// Blocks of a grid for so many tiles: one each, as far as a grid goes.
inline unsigned tile_blocks(int tiles) {
  return static_cast<unsigned>(std::clamp(tiles, 1, 65535));
}

/// The product over `blocks` tiles of `height` rows, as tile_rows() has it.
void launch_tiles(Queue& queue, TileMath math, DeviceType weights, Epilogue epilogue,
                  const TileProduct<float>& product, int height, unsigned blocks);

}  // namespace expertscope::cuda
