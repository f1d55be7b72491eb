// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cpu/kernels/intrinsics.h"

/// Shared by the files compiled for AVX-512; static, so that each keeps its own copy (see levels.h).
namespace expertscope::cpu {

/// Adds up the 16 lanes of each of 8 sums and stores the results side by side.
static inline void store_sums(const __m512 (&sums)[8], float* y) {
  __m512 halves[4];  // lanes of 128 bits: two partials of sum i, two of sum i + 4
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    halves[i] = _mm512_add_ps(_mm512_shuffle_f32x4(sums[i], sums[i + 4], 0x44),
                              _mm512_shuffle_f32x4(sums[i], sums[i + 4], 0xee));
  const auto quarters = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  const __m512 even = quarters(halves[0], halves[1]);  // sums 0, 4, 1, 5
  const __m512 odd = quarters(halves[2], halves[3]);   // sums 2, 6, 3, 7
  const __m512 pairs = _mm512_add_ps(_mm512_shuffle_ps(even, odd, 0x88), _mm512_shuffle_ps(even, odd, 0xdd));
  const __m512 all =
      _mm512_add_ps(_mm512_shuffle_ps(pairs, pairs, 0x88), _mm512_shuffle_ps(pairs, pairs, 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 4, 12, 5, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm256_storeu_ps(y, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, all)));
}

/// y[j][i] = c[i][j] for i < rows and j < columns of a 16 x 16 block.
static inline void store_columns(const float (&c)[16][16], int rows, int columns, float* y, long y_stride) {
  __m512 a[16];
  __m512 b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i)
    a[i] = _mm512_load_ps(c[i]);
    // Transposes 2 x 2, then 4 x 4 inside lanes of 128 bits, then the lanes themselves.
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xee);
    a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88);
    b[i + 4] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
    b[i + 8] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_f32x4(b[i], b[i + 8], 0x88);
    a[i + 8] = _mm512_shuffle_f32x4(b[i], b[i + 8], 0xdd);
    a[i + 4] = _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0xdd);
  }
  const auto mask = static_cast<__mmask16>((1u << rows) - 1);
  for (int j = 0; j < columns; ++j)
    _mm512_mask_storeu_ps(y + j * y_stride, mask, a[j]);
}

}  // namespace expertscope::cpu
