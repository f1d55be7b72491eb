// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/engine/cpu/kernels/avx512_probe.h"

#ifdef __AVX512BF16__
#include "engine/cpu/kernels/amx_pack.h"
#endif

namespace expertscope::cpu {

#ifdef __AVX512BF16__
bool probe_store_columns(const float* c, int rows, int columns, float* y, std::int64_t y_stride) {
  alignas(64) float block[16][16];
  for (int i = 0; i < 256; ++i)
    block[i / 16][i % 16] = c[i];
  store_columns(block, rows, columns, y, y_stride);
  return true;
}

bool probe_pack_bf16_tiles(const ActivationRows& x, const PackedActivations& out, std::int64_t m0,
                           std::int64_t m1) {
  pack_bf16_tiles(x, out, m0, m1);
  return true;
}
#else
bool probe_store_columns(const float*, int, int, float*, std::int64_t) {
  return false;
}

bool probe_pack_bf16_tiles(const ActivationRows&, const PackedActivations&, std::int64_t, std::int64_t) {
  return false;
}
#endif

}  // namespace expertscope::cpu
