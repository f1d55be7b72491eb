// SPDX-License-Identifier: GPL-3.0-or-later
// AMX: products of bf16 tiles. Few rows, and all that is not a bf16 product, go to the avx512_bf16 level.
#include "engine/cpu/kernels/amx_pack.h"
#include "engine/cpu/kernels/amx_tiles.h"
#include "engine/cpu/kernels/int4_bf16.h"
#include "engine/cpu/kernels/intrinsics.h"
#include "engine/cpu/kernels/levels.h"
#include "engine/cpu/kernels/mxfp4_bf16.h"

namespace expertscope::cpu {
namespace {

struct TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// In assembly, because the intrinsics of g++ 12 paste the text of their argument into the register's name.
struct AmxTiles {
  static void configure() {
    alignas(64) const TileConfig config;
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  static void release() { asm volatile("tilerelease"); }
  template <int kTile>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  static void load(const void* p, std::int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kC, int kA, int kB>
  static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
  template <int kTile>
  static void store_transposed(int rows, int tokens, float* y, std::int64_t y_stride) {
    alignas(64) float c[16][16];
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(c), "r"(std::int64_t{64}), "i"(kTile) : "memory");
    store_columns(c, rows, tokens, y, y_stride);
  }
};

/// Formats of blocks of 32, which are rows of a tile: those from a column on by kWiden(matrix, row, column).
template <__m512i (*kWiden)(const Matrix&, std::int64_t, std::int64_t)>
struct WidenedTiles {
  static constexpr bool kInPlace = false;
  const Matrix& w;

  void copy(std::int64_t n, std::int64_t k, std::int64_t, std::uint16_t* to) const {
    _mm512_storeu_si512(to, kWiden(w, n, k));
  }
};

PackLayout layout(Arithmetic arithmetic, std::int64_t rows) {
  if (arithmetic != Arithmetic::bf16 || rows < kAmxMinRows)
    return avx512_bf16_kernels().layout(arithmetic, rows);
  return PackLayout::bf16_tiles;
}

void pack(const ActivationRows& x, const PackedActivations& out, std::int64_t m0, std::int64_t m1) {
  if (out.layout != PackLayout::bf16_tiles) return avx512_bf16_kernels().pack(x, out, m0, m1);
  pack_bf16_tiles(x, out, m0, m1);
}

void matmul(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1, float* y,
            std::int64_t y_stride) {
  if (x.layout != PackLayout::bf16_tiles) return avx512_bf16_kernels().matmul(w, x, n0, n1, y, y_stride);
  AmxTiles tiles;
  if (w.format->id == FormatId::mxfp4)
    return amx_matmul(tiles, WidenedTiles<widen_mxfp4_row>{w}, x, n0, n1, y, y_stride);
  if (w.format->id == FormatId::int4_bf16)
    return amx_matmul(tiles, WidenedTiles<widen_int4_row>{w}, x, n0, n1, y, y_stride);
  const StoredTiles<AmxTiles> stored{static_cast<const std::uint8_t*>(w.data), x.cols};
  amx_matmul(tiles, stored, x, n0, n1, y, y_stride);
}

Kernels make_table() {
  Kernels table = avx512_bf16_kernels();
  table.level = CpuLevel::amx;
  table.layout = layout;
  table.pack = pack;
  table.matmul = matmul;
  return table;
}

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels table = make_table();
  return table;
}

}  // namespace expertscope::cpu
