// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/simd_avx512.h"

/// For files compiled for AVX512_BF16; static, so that each keeps its own copy (see levels.h).
namespace expertscope::cpu {

/// Elements [k, k + 32) of one row as bf16 pairs; past `cols` they are zero.
static inline __m512 bf16_pairs(const float* row, std::int64_t k, std::int64_t cols) {
  const std::int64_t left = cols - k;
  const auto mask = left >= 32 ? ~0u : static_cast<std::uint32_t>((1ull << left) - 1);
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), row + k);
  // Masked lanes are not read, but the address should lie inside the row all the same.
  const __m512 high =
      _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), row + (left > 16 ? k + 16 : k));
  return _mm512_castsi512_ps(reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

/// Fills rows [m0, m1) of PackLayout::bf16_tiles, m0 a multiple of 16; tokens and columns past the end are
/// zero.
static inline void pack_bf16_tiles(const ActivationRows& x, const PackedActivations& out, std::int64_t m0,
                                   std::int64_t m1) {
  for (std::int64_t group = m0; group < m1; group += kPackRows) {
    auto* to = static_cast<float*>(out.memory) + group * out.stride / 2;  // a pair takes the room of a float
    const std::int64_t tokens = m1 - group < kPackRows ? m1 - group : kPackRows;
    for (std::int64_t k = 0; k < out.stride; k += kPackCols) {
      alignas(64) float pairs[kPackRows][kPackRows] = {};  // [token][pair]
      for (std::int64_t i = 0; i < tokens; ++i) {
        const float* row = x.data + x.stride * (x.index != nullptr ? x.index[group + i] : group + i);
        _mm512_store_ps(pairs[i], bf16_pairs(row, k, x.cols));
      }
      store_columns(pairs, kPackRows, kPackRows, to + k / 2 * kPackRows, kPackRows);
    }
  }
}

}  // namespace expertscope::cpu
