// SPDX-License-Identifier: GPL-3.0-or-later
// AVX2, FMA and F16C: products in f32, weights widened in registers.

#include "engine/cpu/kernels/intrinsics.h"
#include "engine/cpu/kernels/levels.h"
#include "engine/cpu/kernels/simd_attention.h"
#include "engine/cpu/kernels/simd_delta.h"
#include "engine/cpu/kernels/simd_matmul.h"
#include "engine/cpu/kernels/simd_ops.h"

namespace expertscope::cpu {
namespace {

__m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// `count` < 8 halves, the rest zero.
__m128i load_halves(const void* p, int count) {
  alignas(16) std::uint16_t halves[8] = {};
  std::memcpy(halves, p, static_cast<std::size_t>(count) * sizeof(std::uint16_t));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(halves));
}

__m256 widen_bf16(__m128i x) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}

/// Nearest even, in the upper half of each lane; a NaN stays one.
__m256i round_bf16(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return _mm256_and_si256(_mm256_blendv_epi8(rounded, quiet, nan), upper);
}

__m128i narrow_bf16(__m256 x) {
  const __m256i halves = _mm256_srli_epi32(round_bf16(x), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

struct Lanes {
  static constexpr int kWidth = 8;
  using F = __m256;
  using I = __m256i;
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static F load(const float* p, int count) { return _mm256_maskload_ps(p, first_lanes(count)); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static void store(float* p, F v, int count) { _mm256_maskstore_ps(p, first_lanes(count), v); }
  static F set(float x) { return _mm256_set1_ps(x); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }  // b when either is NaN
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F round(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// In two steps, so that neither factor leaves the range of a float.
  static F scale_by_power_of_two(F a, F n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return mul(mul(a, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
  }
  static F power_of_two(I n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  static float sum(F a) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  static float largest(F a) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
  }

  static F load_type(const float* p) { return load(p); }
  static F load_type(const float* p, int count) { return load(p, count); }
  static F load_type(const std::uint16_t* p) {
    return widen_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static F load_type(const std::uint16_t* p, int count) { return widen_bf16(load_halves(p, count)); }
  static F to_bf16(F v) { return _mm256_castsi256_ps(round_bf16(v)); }

  static I no_magnitude() { return _mm256_set1_epi32(-1); }
  static I magnitude(F v) { return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff)); }
  static I lane_ids() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  static I next_lanes(I lanes) { return _mm256_add_epi32(lanes, _mm256_set1_epi32(kWidth)); }
  static void keep_larger(I value, I lane, I& best, I& where) {
    const __m256i larger = _mm256_cmpgt_epi32(value, best);
    best = _mm256_blendv_epi8(best, value, larger);
    where = _mm256_blendv_epi8(where, lane, larger);
  }
  static void store_ints(std::int32_t* p, I v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
};

/// f32 activations times weights of one type, 8 at a time.
template <FormatId type>
struct Product {
  static constexpr int kStep = 8;
  static constexpr int kRows = 4;
  static constexpr int kTokens = 3;
  static constexpr int kWBytes = type == FormatId::f32 ? 4 : 2;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k * kWBytes; }
  using Sum = __m256;
  using X = __m256;
  using W = __m256;
  static Sum zero() { return _mm256_setzero_ps(); }
  static X load_x(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  static W widen(__m128i w) { return type == FormatId::bf16 ? widen_bf16(w) : _mm256_cvtph_ps(w); }
  static W load_w(const void* p) {
    if constexpr (type == FormatId::f32) return _mm256_loadu_ps(static_cast<const float*>(p));
    return widen(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static W load_w_tail(const void* p, int count) {
    if constexpr (type == FormatId::f32) return Lanes::load(static_cast<const float*>(p), count);
    return widen(load_halves(p, count));
  }
  static void store_w(W w, float* y) { _mm256_storeu_ps(y, w); }
  static Sum mac(Sum sum, X x, W w) { return _mm256_fmadd_ps(x, w, sum); }
  static void store(const Sum (&sums)[kRows], float* y) {
    const __m256 low = _mm256_hadd_ps(sums[0], sums[1]);
    const __m256 high = _mm256_hadd_ps(sums[2], sums[3]);
    const __m256 both = _mm256_hadd_ps(low, high);
    _mm_storeu_ps(y, _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1)));
  }
};

/// Q8_0 (engine/formats/q8_0.h), a block a step, summed in the order of F32.
template <>
struct Product<FormatId::q8_0> {
  static constexpr int kStep = 32;
  static constexpr int kRows = 4;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k / 32 * 34; }
  using Sum = __m256;
  using X = const float*;
  struct W {
    __m256 part[4];
  };
  static Sum zero() { return _mm256_setzero_ps(); }
  static X load_x(const void* p) { return static_cast<const float*>(p); }
  static W load_w(const void* p) {
    const auto* block = static_cast<const std::uint8_t*>(p);
    std::uint16_t half = 0;
    std::memcpy(&half, block, sizeof(half));
    const __m256 scale = _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(half)));
    W w;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(block + sizeof(half) + 8 * i));
      w.part[i] = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)));
    }
    return w;
  }
  static void store_w(const W& w, float* y) {
    for (int i = 0; i < 4; ++i)
      _mm256_storeu_ps(y + 8 * i, w.part[i]);
  }
  static Sum mac(Sum sum, X x, const W& w) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      sum = _mm256_fmadd_ps(_mm256_loadu_ps(x + 8 * i), w.part[i], sum);
    return sum;
  }
  static void store(const Sum (&sums)[kRows], float* y) {
    Product<FormatId::f32>::store(sums, y);
  }
};

/// E4M3 with a plane of F32 scales (engine/formats/f8.h), summed in the order of F32.
template <>
struct Product<FormatId::f8_e4m3> {
  static constexpr int kStep = 8;
  static constexpr int kRows = 4;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t kScaleRows = 128;
  static constexpr std::int64_t kScaleCols = 128;
  static constexpr std::int64_t kScaleBytes = sizeof(float);
  static constexpr int kMiddle = 0;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k; }
  using Sum = __m256;
  using X = __m256;
  using W = __m256;
  using Factor = __m256;
  static Sum zero() { return _mm256_setzero_ps(); }
  static X load_x(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  /// The bits of a number are those of a binary16 with an exponent that is 8 too low.
  static Factor factor(const std::uint8_t* p, int, const float*) {
    float scale = 0;
    std::memcpy(&scale, p, sizeof(scale));
    return _mm256_set1_ps(0x1p8f * scale);
  }
  static W widen(__m128i bytes, Factor factor) {
    const __m128i shifted = _mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7);
    const __m128i half = _mm_and_si128(shifted, _mm_set1_epi16(static_cast<short>(0xbf80)));
    const __m128i magnitude = _mm_set1_epi16(0x3f80);
    const __m128i nan = _mm_cmpeq_epi16(_mm_and_si128(half, magnitude), magnitude);
    const __m128i number = _mm_or_si128(half, _mm_and_si128(nan, _mm_set1_epi16(0x7c00)));
    return _mm256_mul_ps(_mm256_cvtph_ps(number), factor);
  }
  static W load_w(const void* p, Factor factor) {
    return widen(_mm_loadl_epi64(static_cast<const __m128i*>(p)), factor);
  }
  static W load_w_tail(const void* p, int count, Factor factor) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, p, static_cast<std::size_t>(count));
    return widen(_mm_cvtsi64_si128(static_cast<long long>(bytes)), factor);
  }
  static void store_w(W w, float* y) { _mm256_storeu_ps(y, w); }
  static Sum mac(Sum sum, X x, W w) { return _mm256_fmadd_ps(x, w, sum); }
  static void store(const Sum (&sums)[kRows], float* y) { Product<FormatId::f32>::store(sums, y); }
};

constexpr Powers kHalfPowers = powers_of_two(0.5f);

/// MXFP4 (engine/formats/mxfp4.h), a block a step, summed in the order of F32. Bytes of twice the numbers are
/// looked up, so half of the scale is what they are multiplied by.
template <>
struct Product<FormatId::mxfp4> {
  static constexpr int kStep = 32;
  static constexpr int kRows = 4;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k / 2; }
  using Sum = __m256;
  using X = const float*;
  struct W {
    __m256 part[4];
  };
  static Sum zero() { return _mm256_setzero_ps(); }
  static X load_x(const void* p) { return static_cast<const float*>(p); }
  static W load_w(const void* p, std::uint8_t scale) {
    const __m128i twice = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const __m128i nibble = _mm_set1_epi8(15);
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
    const __m128i low = _mm_shuffle_epi8(twice, _mm_and_si128(bytes, nibble));
    const __m128i high = _mm_shuffle_epi8(twice, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
    const __m256 factor = _mm256_broadcast_ss(&kHalfPowers.of[scale]);
    const __m128i first = _mm_unpacklo_epi8(low, high);
    const __m128i second = _mm_unpackhi_epi8(low, high);
    const auto widen = [&](__m128i eight) {
      return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), factor);
    };
    return {widen(first), widen(_mm_srli_si128(first, 8)), widen(second), widen(_mm_srli_si128(second, 8))};
  }
  static void store_w(const W& w, float* y) {
    for (int i = 0; i < 4; ++i)
      _mm256_storeu_ps(y + 8 * i, w.part[i]);
  }
  static Sum mac(Sum sum, X x, const W& w) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      sum = _mm256_fmadd_ps(_mm256_loadu_ps(x + 8 * i), w.part[i], sum);
    return sum;
  }
  static void store(const Sum (&sums)[kRows], float* y) {
    Product<FormatId::f32>::store(sums, y);
  }
};

/// Numbers of 4 bits in groups (engine/formats/int4.h), a block a step, summed in the order of F32. What the
/// sixteen stand for in a group is computed once and looked up.
template <FormatId type>
struct Int4Product : Product<FormatId::mxfp4> {
  static constexpr std::int64_t kScaleRows = 1;
  static constexpr std::int64_t kScaleCols = 128;
  static constexpr std::int64_t kScaleBytes = type == FormatId::int4_f32 ? 4 : 2;
  static constexpr int kMiddle = 8;
  struct Factor {
    __m256 low, high;  ///< numbers 0 to 7, 8 to 15
  };
  static __m256 scale_at(const std::uint8_t* p) {
    if constexpr (type == FormatId::int4_f32) {
      float scale = 0;
      std::memcpy(&scale, p, sizeof(scale));
      return _mm256_set1_ps(scale);
    }
    std::uint16_t half = 0;
    std::memcpy(&half, p, sizeof(half));
    const __m128i halves = _mm_set1_epi16(static_cast<short>(half));
    return type == FormatId::int4_bf16 ? widen_bf16(halves) : _mm256_cvtph_ps(halves);
  }
  static __m256 round(__m256 weights) {
    if constexpr (type == FormatId::int4_bf16) return _mm256_castsi256_ps(round_bf16(weights));
    if constexpr (type == FormatId::int4_f16)
      return _mm256_cvtph_ps(_mm256_cvtps_ph(weights, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    return weights;
  }
  static Factor factor(const std::uint8_t* p, int zero, const float*) {
    const __m256 scale = scale_at(p);
    const __m256 first = _mm256_set1_ps(static_cast<float>(zero));
    const __m256 low = _mm256_sub_ps(_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), first);
    const __m256 high = _mm256_sub_ps(_mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15), first);
    return {round(_mm256_mul_ps(low, scale)), round(_mm256_mul_ps(high, scale))};
  }
  static W load_w(const void* p, const Factor& factor) {
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    W w;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      std::int32_t eight = 0;
      std::memcpy(&eight, static_cast<const std::uint8_t*>(p) + 4 * i, sizeof(eight));
      const __m256i numbers = _mm256_srlv_epi32(_mm256_set1_epi32(eight), shifts);
      const __m256 low = _mm256_permutevar8x32_ps(factor.low, numbers);
      const __m256 high = _mm256_permutevar8x32_ps(factor.high, numbers);
      w.part[i] = _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(numbers, 28)));
    }
    return w;
  }
};
template <>
struct Product<FormatId::int4_bf16> : Int4Product<FormatId::int4_bf16> {};
template <>
struct Product<FormatId::int4_f16> : Int4Product<FormatId::int4_f16> {};
template <>
struct Product<FormatId::int4_f32> : Int4Product<FormatId::int4_f32> {};

/// NVFP4 (engine/formats/nvfp4.h), a block a step, summed in the order of F32; looked up as MXFP4 is.
template <>
struct Product<FormatId::nvfp4> {
  static constexpr int kStep = 16;
  static constexpr int kRows = 4;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t kScaleRows = 1;
  static constexpr std::int64_t kScaleCols = 16;
  static constexpr std::int64_t kScaleBytes = 1;
  static constexpr int kMiddle = 0;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k / 2; }
  using Sum = __m256;
  using X = const float*;
  struct W {
    __m256 low, high;
  };
  using Factor = __m256;
  static Sum zero() { return _mm256_setzero_ps(); }
  static X load_x(const void* p) { return static_cast<const float*>(p); }
  static Factor factor(const std::uint8_t* p, int, const float* values) {
    return _mm256_set1_ps(0.5f * values[*p]);
  }
  static W load_w(const void* p, Factor factor) {
    const __m128i twice = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const __m128i nibble = _mm_set1_epi8(15);
    const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(p));
    const __m128i even = _mm_shuffle_epi8(twice, _mm_and_si128(bytes, nibble));
    const __m128i odd = _mm_shuffle_epi8(twice, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
    const __m128i all = _mm_unpacklo_epi8(even, odd);
    const auto widen = [&](__m128i eight) {
      return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), factor);
    };
    return {widen(all), widen(_mm_srli_si128(all, 8))};
  }
  static void store_w(const W& w, float* y) {
    _mm256_storeu_ps(y, w.low);
    _mm256_storeu_ps(y + 8, w.high);
  }
  static Sum mac(Sum sum, X x, const W& w) {
    sum = _mm256_fmadd_ps(_mm256_loadu_ps(x), w.low, sum);
    return _mm256_fmadd_ps(_mm256_loadu_ps(x + 8), w.high, sum);
  }
  static void store(const Sum (&sums)[kRows], float* y) { Product<FormatId::f32>::store(sums, y); }
};

PackLayout layout(Arithmetic, std::int64_t) {
  return PackLayout::f32_rows;
}

void to_bf16(const float* x, std::int64_t n, std::uint16_t* y) {
  for_lanes<Lanes>(
      n,
      [&](std::int64_t i) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), narrow_bf16(Lanes::load(x + i)));
      },
      [&](std::int64_t i, int count) {
        alignas(16) std::uint16_t halves[8];
        _mm_store_si128(reinterpret_cast<__m128i*>(halves), narrow_bf16(Lanes::load(x + i, count)));
        std::memcpy(y + i, halves, static_cast<std::size_t>(count) * sizeof(std::uint16_t));
      });
}

void attention(const AttentionTask& task) {
  if (task.head_dim > kMaxHeadDim) return scalar_kernels().attention(task);
  if (task.kv_bf16) return attention_tiles<Product<FormatId::bf16>, Lanes, std::uint16_t, 2>(task);
  attention_tiles<Product<FormatId::f32>, Lanes, float, 2>(task);
}

constexpr Kernels kTable = {CpuLevel::avx2,
                            layout,
                            pack_f32_rows<Lanes>,
                            matmul_any<Lanes, Product>,
                            dequantise_any<Lanes, Product>,
                            to_bf16,
                            rms_norm_lanes<Lanes>,
                            rope_lanes<Lanes>,
                            swiglu_lanes<Lanes>,
                            axpy_lanes<Lanes>,
                            row_stats_lanes<Lanes>,
                            attention,
                            convolve_lanes<Lanes>,
                            delta_step_lanes<Lanes>};

}  // namespace

const Kernels& avx2_kernels() {
  return kTable;
}

}  // namespace expertscope::cpu
