// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/cpu/kernels/mxfp4_bf16.h"

/// INT4 with BF16 scales (engine/formats/int4.h) as BF16, which holds every weight of it. For files compiled
/// for AVX512_BF16; static, so that each keeps its own copy (see levels.h).
namespace expertscope::cpu {

/// What the sixteen numbers of a group stand for, twice, for look_up().
static inline __m512i int4_numbers(const std::uint8_t* scale, int zero) {
  std::uint16_t half = 0;
  std::memcpy(&half, scale, sizeof(half));
  const __m512 factor = _mm512_castsi512_ps(_mm512_set1_epi32(half << 16));
  const __m512 all = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512 weights = _mm512_mul_ps(_mm512_sub_ps(all, _mm512_set1_ps(static_cast<float>(zero))), factor);
  return _mm512_broadcast_i64x4(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(weights)));
}

/// Elements [k, k + 32) of a row.
static inline __m512i widen_int4_row(const Matrix& w, std::int64_t row, std::int64_t k) {
  const auto group_cols = static_cast<std::uint32_t>(w.scale_block.rows > 0 ? w.scale_block.cols : 128);
  const std::int64_t groups = (static_cast<std::uint32_t>(w.cols) + group_cols - 1) / group_cols;
  const std::int64_t group = row * groups + static_cast<std::uint32_t>(k) / group_cols;
  const __m512i numbers = int4_numbers(static_cast<const std::uint8_t*>(w.scales) + 2 * group,
                                       w.zeros == nullptr ? 8 : w.zeros[group]);
  return look_up(static_cast<const std::uint8_t*>(w.data) + (row * w.cols + k) / 2, numbers);
}

}  // namespace expertscope::cpu
