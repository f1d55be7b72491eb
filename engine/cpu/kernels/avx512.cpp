// SPDX-License-Identifier: GPL-3.0-or-later
// AVX-512 F/BW/DQ/VL: products in f32, weights widened in registers.

#include "engine/cpu/kernels/intrinsics.h"
#include "engine/cpu/kernels/levels.h"
#include "engine/cpu/kernels/simd_attention.h"
#include "engine/cpu/kernels/simd_avx512.h"
#include "engine/cpu/kernels/simd_delta.h"
#include "engine/cpu/kernels/simd_matmul.h"
#include "engine/cpu/kernels/simd_ops.h"

namespace expertscope::cpu {
namespace {

__mmask16 first_lanes(int count) {
  return static_cast<__mmask16>((1u << count) - 1);
}

__m512 widen_bf16(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/// Nearest even; a NaN stays one.
__m256i narrow_bf16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}

struct Lanes {
  static constexpr int kWidth = 16;
  using F = __m512;
  using I = __m512i;
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load(const float* p, int count) { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static void store(float* p, F v, int count) { _mm512_mask_storeu_ps(p, first_lanes(count), v); }
  static F set(float x) { return _mm512_set1_ps(x); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }  // b when either is NaN
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F scale_by_power_of_two(F a, F n) { return _mm512_scalef_ps(a, n); }
  static float sum(F a) { return _mm512_reduce_add_ps(a); }
  static float largest(F a) { return _mm512_reduce_max_ps(a); }

  static F load_type(const float* p) { return load(p); }
  static F load_type(const float* p, int count) { return load(p, count); }
  static F load_type(const std::uint16_t* p) {
    return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F load_type(const std::uint16_t* p, int count) {
    return widen_bf16(_mm256_maskz_loadu_epi16(first_lanes(count), p));
  }
  static F to_bf16(F v) { return widen_bf16(narrow_bf16(v)); }

  static I no_magnitude() { return _mm512_set1_epi32(-1); }
  static I magnitude(F v) { return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff)); }
  static I lane_ids() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  static I next_lanes(I lanes) { return _mm512_add_epi32(lanes, _mm512_set1_epi32(kWidth)); }
  static void keep_larger(I value, I lane, I& best, I& where) {
    const __mmask16 larger = _mm512_cmpgt_epi32_mask(value, best);
    best = _mm512_mask_mov_epi32(best, larger, value);
    where = _mm512_mask_mov_epi32(where, larger, lane);
  }
  static void store_ints(std::int32_t* p, I v) { _mm512_storeu_si512(p, v); }
};

/// f32 activations times weights of one type, 16 at a time.
template <FormatId type>
struct Product {
  static constexpr int kStep = 16;
  static constexpr int kRows = 8;
  static constexpr int kTokens = 3;
  static constexpr int kWBytes = type == FormatId::f32 ? 4 : 2;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k * kWBytes; }
  using Sum = __m512;
  using X = __m512;
  using W = __m512;
  static Sum zero() { return _mm512_setzero_ps(); }
  static X load_x(const void* p) { return _mm512_loadu_ps(p); }
  static W widen(__m256i w) { return type == FormatId::bf16 ? widen_bf16(w) : _mm512_cvtph_ps(w); }
  static W load_w(const void* p) {
    if constexpr (type == FormatId::f32) return _mm512_loadu_ps(p);
    return widen(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static W load_w_tail(const void* p, int count) {
    if constexpr (type == FormatId::f32) return _mm512_maskz_loadu_ps(first_lanes(count), p);
    return widen(_mm256_maskz_loadu_epi16(first_lanes(count), p));
  }
  static void store_w(W w, float* y) { _mm512_storeu_ps(y, w); }
  static Sum mac(Sum sum, X x, W w) { return _mm512_fmadd_ps(x, w, sum); }
  static void store(const Sum (&sums)[kRows], float* y) { store_sums(sums, y); }
};

/// Q8_0 (engine/formats/q8_0.h), a block a step, summed in the order of F32.
template <>
struct Product<FormatId::q8_0> {
  static constexpr int kStep = 32;
  static constexpr int kRows = 8;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k / 32 * 34; }
  using Sum = __m512;
  using X = const float*;
  struct W {
    __m512 low, high;
  };
  static Sum zero() { return _mm512_setzero_ps(); }
  static X load_x(const void* p) { return static_cast<const float*>(p); }
  static W load_w(const void* p) {
    const auto* block = static_cast<const std::uint8_t*>(p);
    std::uint16_t half = 0;
    std::memcpy(&half, block, sizeof(half));
    const __m512 scale = _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(half)));
    const auto part = [&](int i) {
      const __m128i sixteen =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + sizeof(half) + 16 * i));
      return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen)));
    };
    return {part(0), part(1)};
  }
  static void store_w(const W& w, float* y) {
    _mm512_storeu_ps(y, w.low);
    _mm512_storeu_ps(y + 16, w.high);
  }
  static Sum mac(Sum sum, X x, const W& w) {
    sum = _mm512_fmadd_ps(_mm512_loadu_ps(x), w.low, sum);
    return _mm512_fmadd_ps(_mm512_loadu_ps(x + 16), w.high, sum);
  }
  static void store(const Sum (&sums)[kRows], float* y) { store_sums(sums, y); }
};

/// E4M3 with a plane of F32 scales (engine/formats/f8.h), summed in the order of F32.
template <>
struct Product<FormatId::f8_e4m3> {
  static constexpr int kStep = 16;
  static constexpr int kRows = 8;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t kScaleRows = 128;
  static constexpr std::int64_t kScaleCols = 128;
  static constexpr std::int64_t kScaleBytes = sizeof(float);
  static constexpr int kMiddle = 0;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k; }
  using Sum = __m512;
  using X = __m512;
  using W = __m512;
  using Factor = __m512;
  static Sum zero() { return _mm512_setzero_ps(); }
  static X load_x(const void* p) { return _mm512_loadu_ps(p); }
  /// The bits of a number are those of a binary16 with an exponent that is 8 too low.
  static Factor factor(const std::uint8_t* p, int, const float*) {
    float scale = 0;
    std::memcpy(&scale, p, sizeof(scale));
    return _mm512_set1_ps(0x1p8f * scale);
  }
  static W widen(__m128i bytes, Factor factor) {
    const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
    const __m256i half = _mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<short>(0xbf80)));
    const __m256i missing = _mm256_andnot_si256(half, _mm256_set1_epi16(0x3f80));  // of the bits of NaN
    const __mmask16 nan = _mm256_testn_epi16_mask(missing, missing);
    const __m256i number = _mm256_mask_mov_epi16(half, nan, _mm256_set1_epi16(0x7e00));
    return _mm512_mul_ps(_mm512_cvtph_ps(number), factor);
  }
  static W load_w(const void* p, Factor factor) {
    return widen(_mm_loadu_si128(static_cast<const __m128i*>(p)), factor);
  }
  static W load_w_tail(const void* p, int count, Factor factor) {
    return widen(_mm_maskz_loadu_epi8(first_lanes(count), p), factor);
  }
  static void store_w(W w, float* y) { _mm512_storeu_ps(y, w); }
  static Sum mac(Sum sum, X x, W w) { return _mm512_fmadd_ps(x, w, sum); }
  static void store(const Sum (&sums)[kRows], float* y) { store_sums(sums, y); }
};

/// FP4 E2M1 (engine/formats/mxfp4.h).
__m512 e2m1_numbers() {
  return _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f, -1.5f, -2.0f,
                        -3.0f, -4.0f, -6.0f);
}

constexpr Powers kPowers = powers_of_two(1.0f);

/// MXFP4 (engine/formats/mxfp4.h), a block a step, summed in the order of F32. The sixteen numbers, scaled
/// once for a block, lie in a register.
template <>
struct Product<FormatId::mxfp4> {
  static constexpr int kStep = 32;
  static constexpr int kRows = 8;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k / 2; }
  using Sum = __m512;
  using X = const float*;
  struct W {
    __m512 low, high;
  };
  static Sum zero() { return _mm512_setzero_ps(); }
  static X load_x(const void* p) { return static_cast<const float*>(p); }
  /// Eight bytes to the numbers of their halves; what is above the lower 4 bits of a lane does not count.
  static __m512 widen(const std::uint8_t* p, __m512 numbers) {
    const __m512i bytes = _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m512i halves = _mm512_or_si512(bytes, _mm512_slli_epi64(bytes, 28));
    return _mm512_permutexvar_ps(halves, numbers);
  }
  static W load_w(const void* p, std::uint8_t scale) {
    const auto* block = static_cast<const std::uint8_t*>(p);
    const __m512 scaled = _mm512_mul_ps(e2m1_numbers(), _mm512_set1_ps(kPowers.of[scale]));
    return {widen(block, scaled), widen(block + 8, scaled)};
  }
  static void store_w(const W& w, float* y) {
    _mm512_storeu_ps(y, w.low);
    _mm512_storeu_ps(y + 16, w.high);
  }
  static Sum mac(Sum sum, X x, const W& w) {
    sum = _mm512_fmadd_ps(_mm512_loadu_ps(x), w.low, sum);
    return _mm512_fmadd_ps(_mm512_loadu_ps(x + 16), w.high, sum);
  }
  static void store(const Sum (&sums)[kRows], float* y) { store_sums(sums, y); }
};

/// Numbers of 4 bits in groups (engine/formats/int4.h), a block a step, summed in the order of F32. What the
/// sixteen stand for in a group lies in a register.
template <FormatId type>
struct Int4Product : Product<FormatId::mxfp4> {
  static constexpr std::int64_t kScaleRows = 1;
  static constexpr std::int64_t kScaleCols = 128;
  static constexpr std::int64_t kScaleBytes = type == FormatId::int4_f32 ? 4 : 2;
  static constexpr int kMiddle = 8;
  using Factor = __m512;
  static __m512 scale_at(const std::uint8_t* p) {
    if constexpr (type == FormatId::int4_f32) {
      float scale = 0;
      std::memcpy(&scale, p, sizeof(scale));
      return _mm512_set1_ps(scale);
    }
    std::uint16_t half = 0;
    std::memcpy(&half, p, sizeof(half));
    const __m256i halves = _mm256_set1_epi16(static_cast<short>(half));
    return type == FormatId::int4_bf16 ? widen_bf16(halves) : _mm512_cvtph_ps(halves);
  }
  static __m512 round(__m512 weights) {
    if constexpr (type == FormatId::int4_bf16) return widen_bf16(narrow_bf16(weights));
    if constexpr (type == FormatId::int4_f16)
      return _mm512_cvtph_ps(_mm512_cvtps_ph(weights, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    return weights;
  }
  static Factor factor(const std::uint8_t* p, int zero, const float*) {
    const __m512 all = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return round(_mm512_mul_ps(_mm512_sub_ps(all, _mm512_set1_ps(static_cast<float>(zero))), scale_at(p)));
  }
  static W load_w(const void* p, Factor numbers) {
    const auto* block = static_cast<const std::uint8_t*>(p);
    return {widen(block, numbers), widen(block + 8, numbers)};
  }
};
template <>
struct Product<FormatId::int4_bf16> : Int4Product<FormatId::int4_bf16> {};
template <>
struct Product<FormatId::int4_f16> : Int4Product<FormatId::int4_f16> {};
template <>
struct Product<FormatId::int4_f32> : Int4Product<FormatId::int4_f32> {};

/// NVFP4 (engine/formats/nvfp4.h), a block a step, summed in the order of F32.
template <>
struct Product<FormatId::nvfp4> {
  static constexpr int kStep = 16;
  static constexpr int kRows = 8;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 4;
  static constexpr std::int64_t kScaleRows = 1;
  static constexpr std::int64_t kScaleCols = 16;
  static constexpr std::int64_t kScaleBytes = 1;
  static constexpr int kMiddle = 0;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k / 2; }
  using Sum = __m512;
  using X = __m512;
  using W = __m512;
  using Factor = __m512;
  static Sum zero() { return _mm512_setzero_ps(); }
  static X load_x(const void* p) { return _mm512_loadu_ps(p); }
  static Factor factor(const std::uint8_t* p, int, const float* values) { return _mm512_set1_ps(values[*p]); }
  static W load_w(const void* p, Factor factor) {
    const auto* block = static_cast<const std::uint8_t*>(p);
    return _mm512_mul_ps(Product<FormatId::mxfp4>::widen(block, e2m1_numbers()), factor);
  }
  static void store_w(W w, float* y) { _mm512_storeu_ps(y, w); }
  static Sum mac(Sum sum, X x, W w) { return _mm512_fmadd_ps(x, w, sum); }
  static void store(const Sum (&sums)[kRows], float* y) { store_sums(sums, y); }
};

PackLayout layout(Arithmetic, std::int64_t) {
  return PackLayout::f32_rows;
}

void to_bf16(const float* x, std::int64_t n, std::uint16_t* y) {
  for_lanes<Lanes>(
      n,
      [&](std::int64_t i) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), narrow_bf16(Lanes::load(x + i)));
      },
      [&](std::int64_t i, int count) {
        _mm256_mask_storeu_epi16(y + i, first_lanes(count), narrow_bf16(Lanes::load(x + i, count)));
      });
}

void attention(const AttentionTask& task) {
  if (task.head_dim > kMaxHeadDim) return scalar_kernels().attention(task);
  if (task.kv_bf16) return attention_tiles<Product<FormatId::bf16>, Lanes, std::uint16_t, 4>(task);
  attention_tiles<Product<FormatId::f32>, Lanes, float, 4>(task);
}

constexpr Kernels kTable = {CpuLevel::avx512,
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

const Kernels& avx512_kernels() {
  return kTable;
}

}  // namespace expertscope::cpu
