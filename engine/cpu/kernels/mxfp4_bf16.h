// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cpu/kernels/intrinsics.h"
#include "engine/model/weights.h"

/// MXFP4 (engine/formats/mxfp4.h) as BF16, which holds every number of it. For files compiled for AVX-512;
/// static, so that each keeps its own copy (see levels.h).
namespace expertscope::cpu {

/// The sixteen numbers under every scale, twice: what is looked up with five bits knows four.
struct Mxfp4Numbers {
  alignas(64) std::uint16_t of[256][32];
};

/// Bits of BF16 of number `code` times 2^(scale - 127): infinity and denormals where they belong.
constexpr std::uint16_t mxfp4_as_bf16(unsigned code, int scale) {
  const unsigned sign = code >> 3 << 15;
  const auto exponent = static_cast<int>(code >> 1 & 3);
  const unsigned fraction = exponent > 0 ? (code & 1) << 6 : 0;
  if (scale == 255) return 0x7fc0;
  if ((code & 7) == 0) return static_cast<std::uint16_t>(sign);
  const int biased = (exponent > 0 ? exponent : 0) + scale - 1;
  if (biased >= 255) return static_cast<std::uint16_t>(sign | 0x7f80);
  if (biased <= 0) return static_cast<std::uint16_t>(sign | (0x80 | fraction) >> (1 - biased));
  return static_cast<std::uint16_t>(sign | static_cast<unsigned>(biased) << 7 | fraction);
}

constexpr Mxfp4Numbers mxfp4_numbers() {
  Mxfp4Numbers numbers{};
  for (int scale = 0; scale < 256; ++scale)
    for (unsigned i = 0; i < 32; ++i)
      numbers.of[scale][i] = mxfp4_as_bf16(i & 15, scale);
  return numbers;
}

static constexpr Mxfp4Numbers kMxfp4Numbers = mxfp4_numbers();

/// A block of 32 weights of 4 bits, which are looked up.
static inline __m512i look_up(const void* block, __m512i numbers) {
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(block)));
  return _mm512_permutexvar_epi16(_mm512_or_si512(bytes, _mm512_slli_epi32(bytes, 12)), numbers);
}

/// A block of 32 weights.
static inline __m512i widen_mxfp4(const void* block, std::uint8_t scale) {
  return look_up(block, _mm512_load_si512(kMxfp4Numbers.of[scale]));
}

/// Elements [k, k + 32) of a row.
static inline __m512i widen_mxfp4_row(const Matrix& w, std::int64_t row, std::int64_t k) {
  const std::int64_t at = row * w.row_step * w.cols + k;
  return widen_mxfp4(static_cast<const std::uint8_t*>(w.data) + at / 2,
                     static_cast<const std::uint8_t*>(w.scales)[at / 32]);
}

}  // namespace expertscope::cpu
