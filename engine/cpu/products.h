// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/thread_pool.h"
#include "engine/model/weights.h"

namespace expertscope::cpu {

/// Work below this many bytes read or operations is done by the caller: waking the others costs more.
inline constexpr std::int64_t kSerialWork = 32 * 1024;

/// fn(begin, end) over [0, count) on all threads, or at once when count * work_each is small.
template <class Fn>
void for_ranges(ThreadPool& pool, std::int64_t count, std::int64_t grain, std::int64_t work_each, Fn&& fn) {
  if (count <= 0) return;
  if (pool.threads() == 1 || count == 1 || count * work_each < kSerialWork) {
    fn(std::int64_t{0}, count);
    return;
  }
  pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end, int) { fn(begin, end); });
}

/// Matrix products that do not depend on each other, run in one parallel loop over the rows of all their
/// weights: one barrier for q, k and v, or for all selected experts. That is what keeps memory busy when
/// there is one token.
class ProductList {
 public:
  void reserve(std::size_t products) { products_.reserve(products); }
  void clear() { products_.clear(); }
  /// y[m * y_stride + n] = sum_k x[m][k] * w[n][k]; `w` and what `x` points to outlive run().
  void add(const Matrix& w, const PackedActivations& x, float* y, std::int64_t y_stride);
  void run(const Kernels& kernels, ThreadPool& pool);

 private:
  struct Product {
    const Matrix* w;
    PackedActivations x;
    float* y;
    std::int64_t y_stride;
    std::int64_t first_block;  ///< of this product in the loop over all blocks
    std::int64_t block_rows;   ///< rows of w in a block
  };
  std::vector<Product> products_;
};

}  // namespace expertscope::cpu
