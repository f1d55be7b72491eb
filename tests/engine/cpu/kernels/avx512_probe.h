// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

namespace expertscope::cpu {

/// Runs store_columns of simd_avx512.h, the way the amx kernels write a tile: y[j][i] = c[i][j]. In a file of
/// its own, because only that one may be compiled for AVX-512. Needs a machine with AVX-512; false without
/// one in the build.
bool probe_store_columns(const float* c, int rows, int columns, float* y, std::int64_t y_stride);

}  // namespace expertscope::cpu
