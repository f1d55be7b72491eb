// SPDX-License-Identifier: GPL-3.0-or-later
// AVX-512 with vdpbf16ps: products of bf16 pairs, summed in f32. The rest is the avx512 level's.
#include "engine/cpu/kernels/int4_bf16.h"
#include "engine/cpu/kernels/intrinsics.h"
#include "engine/cpu/kernels/levels.h"
#include "engine/cpu/kernels/mxfp4_bf16.h"
#include "engine/cpu/kernels/simd_avx512.h"
#include "engine/cpu/kernels/simd_matmul.h"
#include "engine/cpu/kernels/simd_scaled.h"

namespace expertscope::cpu {
namespace {

struct Bf16Product {
  static constexpr int kStep = 32;
  static constexpr int kRows = 8;
  static constexpr int kTokens = 3;
  static constexpr int kWBytes = 2;
  static constexpr int kXBytes = 2;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k * kWBytes; }
  using Sum = __m512;
  using X = __m512i;
  using W = __m512i;
  static Sum zero() { return _mm512_setzero_ps(); }
  static X load_x(const void* p) { return _mm512_loadu_si512(p); }
  static W load_w(const void* p) { return _mm512_loadu_si512(p); }
  static W load_w_tail(const void* p, int count) {
    return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((1ull << count) - 1), p);
  }
  static Sum mac(Sum sum, X x, W w) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(x));
  }
  static void store(const Sum (&sums)[kRows], float* y) { store_sums(sums, y); }
};

/// The same of MXFP4 weights, a block a step.
struct Mxfp4Product {
  static constexpr int kStep = 32;
  static constexpr int kRows = 8;
  static constexpr int kTokens = 3;
  static constexpr int kXBytes = 2;
  static constexpr std::int64_t w_bytes(std::int64_t k) { return k / 2; }
  using Sum = __m512;
  using X = __m512i;
  using W = __m512i;
  static Sum zero() { return _mm512_setzero_ps(); }
  static X load_x(const void* p) { return _mm512_loadu_si512(p); }
  static W load_w(const void* p, std::uint8_t scale) { return widen_mxfp4(p, scale); }
  static Sum mac(Sum sum, X x, W w) { return Bf16Product::mac(sum, x, w); }
  static void store(const Sum (&sums)[kRows], float* y) { store_sums(sums, y); }
};

/// And of INT4 with BF16 scales.
struct Int4Product : Mxfp4Product {
  static constexpr std::int64_t kScaleRows = 1;
  static constexpr std::int64_t kScaleCols = 128;
  static constexpr std::int64_t kScaleBytes = 2;
  static constexpr int kMiddle = 8;
  using Factor = __m512i;
  static Factor factor(const std::uint8_t* p, int zero, const float*) { return int4_numbers(p, zero); }
  static W load_w(const void* p, Factor numbers) { return look_up(p, numbers); }
};

/// Rows of which Bf16Product gets a part of each, widened for all tokens: 32 elements from a column on by
/// kWiden(matrix, row, column).
template <__m512i (*kWiden)(const Matrix&, std::int64_t, std::int64_t)>
struct WidenedRows {
  static constexpr bool kInPlace = false;
  static constexpr std::int64_t kUnit = 32;
  const std::uint8_t* memory;
  std::int64_t row_bytes;
  const Matrix& w;

  explicit WidenedRows(const Matrix& matrix)
      : memory(static_cast<const std::uint8_t*>(matrix.data)), row_bytes(matrix.cols / 2), w(matrix) {}

  /// `row` is the first of the job's.
  void copy(const TileJob& job, std::int64_t row, std::uint8_t* to) const {
    for (int n = 0; n < Bf16Product::kRows; ++n) {
      const std::int64_t here = job.w_stride == 0 ? row : row + n;
      for (std::int64_t b = 0; b < (job.k_end - job.k_begin) / kUnit; ++b)
        _mm512_storeu_si512(to + (b * Bf16Product::kRows + n) * 64, kWiden(w, here, job.k_begin + b * kUnit));
    }
  }
};

PackLayout layout(Arithmetic arithmetic, std::int64_t) {
  return arithmetic == Arithmetic::bf16 ? PackLayout::bf16_rows : PackLayout::f32_rows;
}

/// 32 floats to bf16, nearest even.
__m512i round_pair(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

void pack(const ActivationRows& x, const PackedActivations& out, std::int64_t m0, std::int64_t m1) {
  if (out.layout != PackLayout::bf16_rows) return avx512_kernels().pack(x, out, m0, m1);
  for (std::int64_t m = m0; m < m1; ++m) {
    const float* from = x.data + x.stride * (x.index != nullptr ? x.index[m] : m);
    std::uint16_t* to = static_cast<std::uint16_t*>(out.memory) + m * out.stride;
    std::int64_t k = 0;
    for (; k + 32 <= x.cols; k += 32)
      _mm512_storeu_si512(to + k, round_pair(_mm512_loadu_ps(from + k), _mm512_loadu_ps(from + k + 16)));
    if (k == x.cols) continue;
    const auto mask = static_cast<std::uint32_t>((1ull << (x.cols - k)) - 1);
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from + k);
    const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + k + 16);
    _mm512_storeu_si512(to + k, round_pair(low, high));
  }
}

void matmul(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1, float* y,
            std::int64_t y_stride) {
  if (x.layout != PackLayout::bf16_rows) return avx512_kernels().matmul(w, x, n0, n1, y, y_stride);
  const bool few = x.rows <= Bf16Product::kTokens;
  if (w.format->id == FormatId::mxfp4) {
    if (few) return matmul_few_blocks<Mxfp4Product>(w, x, n0, n1, y, y_stride);
    return matmul_blocks<Bf16Product>(WidenedRows<widen_mxfp4_row>(w), x, n0, n1, y, y_stride);
  }
  if (w.format->id == FormatId::int4_bf16) {
    if (few) return matmul_few_scaled<Int4Product>(w, x, n0, n1, y, y_stride);
    return matmul_blocks<Bf16Product>(WidenedRows<widen_int4_row>(w), x, n0, n1, y, y_stride);
  }
  matmul_stored<Bf16Product>(w, x, n0, n1, y, y_stride);
}

Kernels make_table() {
  Kernels table = avx512_kernels();
  table.level = CpuLevel::avx512_bf16;
  table.layout = layout;
  table.pack = pack;
  table.matmul = matmul;
  return table;
}

}  // namespace

const Kernels& avx512_bf16_kernels() {
  static const Kernels table = make_table();
  return table;
}

}  // namespace expertscope::cpu
