// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cpu/kernels/kernels.h"

/// The parts of the amx kernels that need AVX512_BF16 but no tiles, in a file of their own, because only that
/// one may be compiled for it. They return false in a build for another processor.
namespace expertscope::cpu {

/// store_columns of simd_avx512.h: y[j][i] = c[i][j], c being 16 x 16.
bool probe_store_columns(const float* c, int rows, int columns, float* y, std::int64_t y_stride);

/// pack_bf16_tiles of amx_pack.h.
bool probe_pack_bf16_tiles(const ActivationRows& x, const PackedActivations& out, std::int64_t m0,
                           std::int64_t m1);

}  // namespace expertscope::cpu
