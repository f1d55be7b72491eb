// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/products.h"

#include <algorithm>
#include <iterator>

namespace expertscope::cpu {
namespace {

/// Blocks a thread takes from the loop: enough to even out unequal threads, few enough that each streams a
/// long piece of memory.
constexpr std::int64_t kBlocksPerThread = 12;

std::int64_t divide_up(std::int64_t value, std::int64_t by) {
  return (value + by - 1) / by;
}

/// Rows of the blocks of one matrix: about `wanted`, and all alike as far as the granularity allows.
std::int64_t block_rows(const Matrix& w, std::int64_t wanted) {
  const std::int64_t blocks = divide_up(w.rows, wanted);
  return divide_up(divide_up(w.rows, blocks), kRowGranularity) * kRowGranularity;
}

}  // namespace

void ProductList::add(const Matrix& w, const PackedActivations& x, float* y, std::int64_t y_stride) {
  products_.push_back({&w, x, y, y_stride, 0, 0});
}

void ProductList::run(const Kernels& kernels, ThreadPool& pool) {
  std::int64_t all_rows = 0;
  std::int64_t work = 0;
  for (const Product& product : products_) {
    all_rows += product.w->rows;
    work += product.w->rows * product.w->cols * product.x.rows;
  }
  if (pool.threads() == 1 || work < kSerialWork) {
    for (const Product& p : products_)
      kernels.matmul(*p.w, p.x, 0, p.w->rows, p.y, p.y_stride);
    return;
  }
  const std::int64_t wanted = std::max(kRowGranularity, all_rows / (kBlocksPerThread * pool.threads()));
  std::int64_t blocks = 0;
  for (Product& product : products_) {
    product.first_block = blocks;
    product.block_rows = block_rows(*product.w, wanted);
    blocks += divide_up(product.w->rows, product.block_rows);
  }
  pool.parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t block = begin; block < end; ++block) {
      const auto after = std::upper_bound(products_.begin(), products_.end(), block,
                                          [](std::int64_t b, const Product& p) { return b < p.first_block; });
      const Product& p = *std::prev(after);
      const std::int64_t n0 = (block - p.first_block) * p.block_rows;
      kernels.matmul(*p.w, p.x, n0, std::min(n0 + p.block_rows, p.w->rows), p.y, p.y_stride);
    }
  });
}

}  // namespace expertscope::cpu
