// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/tiles.h"

#include "engine/cuda/kernels/dispatch.h"
#include "engine/cuda/kernels/products_mma.cuh"
#include "engine/cuda/kernels/products_tiled.cuh"

namespace expertscope::cuda {
namespace {

// Heights of tf32 tiles. The low ones suit experts with few rows, the high ones read less a row.
constexpr int kLow = 32;
constexpr int kHigh = 128;

int pieces(int whole, int piece) {
  return (whole + piece - 1) / piece;
}

/// fn<epilogue>().
template <class Fn>
void with_epilogue(Epilogue epilogue, Fn&& fn) {
  switch (epilogue) {
    case Epilogue::store:
      return fn.template operator()<Epilogue::store>();
    case Epilogue::add:
      return fn.template operator()<Epilogue::add>();
    case Epilogue::silu_mul:
      return fn.template operator()<Epilogue::silu_mul>();
  }
}

template <Epilogue kEpilogue, int T>
void launch_tf32(Queue& queue, const TileProduct<float>& product, dim3 grid) {
  queue.launch(&mma_product<float, kEpilogue, T>,
               {grid, MmaShape<float, T>::kThreads, MmaShape<float, T>::kSharedBytes}, product);
}

}  // namespace

int tile_rows(TileMath math, int rows, int matrices, int features) {
  if (math == TileMath::f32) return kTiledRows;
  constexpr int kMostLow = 64;      // rows of a matrix: a high tile would be half empty
  constexpr int kBusyBlocks = 128;  // about as many as a device has multiprocessors
  const int usual = pieces(rows, matrices);
  const int blocks = pieces(usual, kHigh) * matrices * pieces(features, kMmaRows);
  return usual > kMostLow && blocks >= kBusyBlocks ? kHigh : kLow;
}

void launch_tiles(Queue& queue, TileMath math, DeviceType weights, Epilogue epilogue,
                  const TileProduct<float>& product, int height, unsigned blocks) {
  // With silu_mul the blocks also fill the padding that the next product reads.
  const int features = epilogue == Epilogue::silu_mul ? product.y_stride : product.features;
  const auto grid = [&](int tile) { return dim3(static_cast<unsigned>(pieces(features, tile)), blocks); };
  with_epilogue(epilogue, [&]<Epilogue kEpilogue>() {
    if (math == TileMath::tf32) {
      if (height == kHigh)
        return launch_tf32<kEpilogue, kHigh>(queue, product, grid(kMmaFeatures<kEpilogue>));
      return launch_tf32<kEpilogue, kLow>(queue, product, grid(kMmaFeatures<kEpilogue>));
    }
    with_weights(weights, [&]<DeviceType kType>() {
      queue.launch(&tiled_product<kType, kEpilogue>, {grid(kTiledFeatures), kTiledThreads, 0}, product);
    });
  });
}

}  // namespace expertscope::cuda
