// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/engine/cpu/kernels/avx512_probe.h"

#ifdef __AVX512F__
#include "engine/cpu/kernels/simd_avx512.h"
#endif

namespace expertscope::cpu {

#ifdef __AVX512F__
bool probe_store_columns(const float* c, int rows, int columns, float* y, std::int64_t y_stride) {
  alignas(64) float block[16][16];
  for (int i = 0; i < 256; ++i)
    block[i / 16][i % 16] = c[i];
  store_columns(block, rows, columns, y, y_stride);
  return true;
}
#else
bool probe_store_columns(const float*, int, int, float*, std::int64_t) {
  return false;
}
#endif

}  // namespace expertscope::cpu
