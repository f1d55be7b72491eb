// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/experts.h"

#include "engine/cuda/kernels/dispatch.h"
#include "engine/cuda/kernels/experts_decode.cuh"
#include "engine/cuda/kernels/products_mma.cuh"
#include "engine/cuda/kernels/rows.cuh"
#include "engine/cuda/tiles.h"

namespace expertscope::cuda {
namespace {

/// What both ways of running tiles need to know. `sorted` null: all rows through the first expert.
struct ExpertRows {
  const SortedRows* sorted = nullptr;
  int rows = 0;       ///< at most
  int tile_rows = 0;  ///< of a tile
  bool add = false;   ///< to the hidden state, and not into work.expert_output

  unsigned tiles(const DeviceExperts& experts) const {
    // An expert's last tile may be short, and no tile is empty.
    const int full = (rows + tile_rows - 1) / tile_rows;
    const int tiles = sorted != nullptr ? std::min(rows, full + experts.experts) : full;
    return tile_blocks(tiles);
  }
};

/// The product's rows: those that were sorted, or all.
template <class X>
TileProduct<X> product_over(const ExpertRows& what) {
  TileProduct<X> product;
  product.rows = what.rows;
  if (what.sorted == nullptr) return product;
  product.tile = what.sorted->tile;
  product.tiles = what.sorted->tiles;
  return product;
}

template <class X>
TileProduct<X> gate_up_product(const ForwardContext& context, const DeviceExperts& experts,
                               const ExpertRows& what) {
  TileProduct<X> product = product_over<X>(what);
  product.x = static_cast<const X*>(context.work.normed);
  product.x_row = what.sorted != nullptr ? what.sorted->token_of_row : nullptr;
  product.table = experts.gate_up;
  product.features = experts.inner;
  product.stride = experts.hidden_stride;
  product.y = context.work.inner;
  product.y_stride = experts.inner_stride;
  return product;
}

template <class X>
TileProduct<X> down_product(const ForwardContext& context, const DeviceExperts& experts,
                            const ExpertRows& what) {
  TileProduct<X> product = product_over<X>(what);
  product.x = static_cast<const X*>(context.work.inner);
  product.table = experts.down;
  product.features = experts.hidden;
  product.stride = experts.inner_stride;
  product.y = what.add ? context.work.hidden : context.work.expert_output;
  product.y_stride = experts.hidden;
  return product;
}

unsigned blocks_for(int features, int tile) {
  return static_cast<unsigned>((features + tile - 1) / tile);
}

/// Both products with f32 activations.
void run_floats(ForwardContext& context, const DeviceExperts& experts, const ExpertRows& what) {
  const auto launch = [&](Epilogue epilogue, const TileProduct<float>& product) {
    launch_tiles(context.queue, context.products.tile_math(experts.type), experts.type, epilogue, product,
                 what.tile_rows, what.tiles(experts));
  };
  launch(Epilogue::silu_mul, gate_up_product<float>(context, experts, what));
  launch(what.add ? Epilogue::add : Epilogue::store, down_product<float>(context, experts, what));
}

/// Both products in bf16, T rows a tile.
template <int T>
void run_bf16(ForwardContext& context, const DeviceExperts& experts, const ExpertRows& what) {
  using S = MmaShape<Bf16, T>;
  const unsigned tiles = what.tiles(experts);
  const Shape first{dim3(blocks_for(experts.inner_stride, kMmaFeatures<Epilogue::silu_mul>), tiles),
                    S::kThreads, S::kSharedBytes};
  const Shape second{dim3(blocks_for(experts.hidden, kMmaFeatures<Epilogue::store>), tiles), S::kThreads,
                     S::kSharedBytes};
  context.queue.launch(&mma_product<Bf16, Epilogue::silu_mul, T>, first,
                       gate_up_product<Bf16>(context, experts, what));
  const auto down = down_product<Bf16>(context, experts, what);
  if (what.add)
    context.queue.launch(&mma_product<Bf16, Epilogue::add, T>, second, down);
  else
    context.queue.launch(&mma_product<Bf16, Epilogue::store, T>, second, down);
}

void run_rows(ForwardContext& context, const DeviceExperts& experts, const ExpertRows& what) {
  if (!context.rounds(experts.type)) return run_floats(context, experts, what);
  switch (what.tile_rows) {
    case 16:
      return run_bf16<16>(context, experts, what);
    case 32:
      return run_bf16<32>(context, experts, what);
    case 64:
      return run_bf16<64>(context, experts, what);
    default:
      return run_bf16<128>(context, experts, what);
  }
}

}  // namespace

void run_fused(ForwardContext& context, const FusedExperts& what) {
  const DeviceExperts& experts = what.experts;
  const auto tokens = static_cast<unsigned>(context.bucket);
  const auto lanes = static_cast<unsigned>(std::min(what.lanes, context.work.decode_slots));
  with_types(experts.type, context.rounds(experts.type), [&]<DeviceType kType, class X>() {
    const auto blocks = static_cast<unsigned>((experts.inner_stride + kProductWarps - 1) / kProductWarps);
    const std::size_t row = static_cast<std::size_t>(experts.hidden_stride) * sizeof(X);
    context.queue.launch(&expert_gate_up<kType, X>, {dim3(blocks, lanes, tokens), kProductThreads, row},
                         context.input.device(), experts, what.routing, what.slots,
                         static_cast<const X*>(context.work.normed), static_cast<X*>(context.work.inner));
    context.queue.launch(
        &expert_down<kType, X>,
        {dim3(static_cast<unsigned>(context.work.output_blocks), tokens), kProductThreads, 0},
        context.input.device(), experts, what.routing, what.slots, static_cast<const X*>(context.work.inner),
        context.work.hidden, what.parts);
  });
}

int expert_tile_rows(const ForwardContext& context, const DeviceExperts& experts, int rows) {
  if (!context.rounds(experts.type))
    return tile_rows(context.products.tile_math(experts.type), rows, experts.experts, experts.hidden);
  const int usual = rows / experts.experts;
  return usual <= 16 ? 16 : usual <= 32 ? 32 : usual <= 64 ? 64 : 128;
}

void run_many(ForwardContext& context, const DeviceExperts& experts, int rows, int tile_rows) {
  run_rows(context, experts, {&context.work.sorted, rows, tile_rows, false});
}

void run_dense(ForwardContext& context, const DeviceExperts& experts, bool add) {
  const int tile_rows = expert_tile_rows(context, experts, context.rows());
  run_rows(context, experts, {nullptr, context.rows(), tile_rows, add});
}

}  // namespace expertscope::cuda
