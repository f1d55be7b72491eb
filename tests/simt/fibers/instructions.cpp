// SPDX-License-Identifier: GPL-3.0-or-later
#include "simt_instructions.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "tests/simt/fibers/numbers.h"

namespace expertscope::cuda {

namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

void check_aligned(const void* address, const char* complaint, simt::Where where) {
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) simt::fail(complaint, where);
}

float low_bf16(std::uint32_t pair) {
  return std::bit_cast<float>(pair << 16);
}
float high_bf16(std::uint32_t pair) {
  return std::bit_cast<float>(pair & 0xffff0000u);
}

/// One lane's part in load_matrix_x4: the row it names, and where its elements go.
struct MatrixLane {
  const unsigned char* row;
  std::uint32_t* to;
};

template <bool kTransposed>
void complete_load(void* const (&lanes)[32], unsigned) {
  std::uint16_t matrix[4][8][8];
  for (int l = 0; l < 32; ++l) {
    std::memcpy(matrix[l / 8][l % 8], static_cast<const MatrixLane*>(lanes[l])->row, 16);
  }
  for (int l = 0; l < 32; ++l) {
    const int i = l / 4;
    const int j = 2 * (l % 4);
    for (int m = 0; m < 4; ++m) {
      const std::uint32_t low = kTransposed ? matrix[m][j][i] : matrix[m][i][j];
      const std::uint32_t high = kTransposed ? matrix[m][j + 1][i] : matrix[m][i][j + 1];
      static_cast<MatrixLane*>(lanes[l])->to[m] = low | high << 16;
    }
  }
}

template <bool kTransposed>
void load_matrix(std::uint32_t (&to)[4], const void* row, simt::Where where) {
  check_aligned(row, "a matrix row whose address is not aligned to 16 bytes", where);
  MatrixLane mine{static_cast<const unsigned char*>(row), to};
  simt::meet(kAllLanes, &mine, &complete_load<kTransposed>, where);
}

/// One lane's fragments.
struct ProductLane {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

/// Eight columns of one row; the compiler turns these into vector instructions.
using Row8 = float __attribute__((vector_size(32)));

/// d = d + a b, row by row, with k ascending. Four rows at a time, to have work while a sum waits for its
/// last.
template <int kDepth>
void multiply(Row8 (&d)[16], const float (&a)[16][kDepth], const Row8 (&b)[kDepth]) {
  for (int row = 0; row < 16; row += 4) {
    Row8 sum[4] = {d[row], d[row + 1], d[row + 2], d[row + 3]};
    for (int k = 0; k < kDepth; ++k) {
      const Row8 column = b[k];
      for (int i = 0; i < 4; ++i) {
        sum[i] += a[row + i][k] * column;
      }
    }
    for (int i = 0; i < 4; ++i) {
      d[row + i] = sum[i];
    }
  }
}

/// d += a b; both instructions spread d over the lanes in the same way.
template <int kDepth>
void add_product(void* const (&lanes)[32], const float (&a)[16][kDepth], const Row8 (&b)[kDepth]) {
  Row8 d[16];
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 4; ++i) {
      d[l / 4 + 8 * (i / 2)][2 * (l % 4) + i % 2] = static_cast<const ProductLane*>(lanes[l])->d[i];
    }
  }
  multiply(d, a, b);
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 4; ++i) {
      static_cast<ProductLane*>(lanes[l])->d[i] = d[l / 4 + 8 * (i / 2)][2 * (l % 4) + i % 2];
    }
  }
}

/// Layouts: see mma_bf16 in instructions.cuh.
void complete_bf16_product(void* const (&lanes)[32], unsigned) {
  alignas(32) float a[16][16];
  Row8 b[16];
  for (int l = 0; l < 32; ++l) {
    const auto* lane = static_cast<const ProductLane*>(lanes[l]);
    const int g = l / 4;
    const int p = 2 * (l % 4);
    for (int half = 0; half < 2; ++half) {  // of the 16 values of k
      const int k = p + 8 * half;
      a[g][k] = low_bf16(lane->a[2 * half]);
      a[g][k + 1] = high_bf16(lane->a[2 * half]);
      a[g + 8][k] = low_bf16(lane->a[2 * half + 1]);
      a[g + 8][k + 1] = high_bf16(lane->a[2 * half + 1]);
      b[k][g] = low_bf16(lane->b[half]);
      b[k + 1][g] = high_bf16(lane->b[half]);
    }
  }
  add_product(lanes, a, b);
}

/// Layouts: see mma_tf32 in instructions.cuh.
void complete_tf32_product(void* const (&lanes)[32], unsigned) {
  alignas(32) float a[16][8];
  Row8 b[8];
  for (int l = 0; l < 32; ++l) {
    const auto* lane = static_cast<const ProductLane*>(lanes[l]);
    const int g = l / 4;
    for (int half = 0; half < 2; ++half) {  // of the 8 values of k
      const int k = l % 4 + 4 * half;
      a[g][k] = std::bit_cast<float>(lane->a[2 * half]);
      a[g + 8][k] = std::bit_cast<float>(lane->a[2 * half + 1]);
      b[k][g] = std::bit_cast<float>(lane->b[half]);
    }
  }
  add_product(lanes, a, b);
}

/// Whether all are floats that tf32 holds.
template <std::size_t kCount>
bool are_tf32(const std::uint32_t (&operands)[kCount]) {
  return std::all_of(std::begin(operands), std::end(operands),
                     [](std::uint32_t operand) { return (operand & 0x1fff) == 0; });
}

}  // namespace

std::uint32_t pack_bf16(float low, float high) {
  return simt::to_bf16(low) | static_cast<std::uint32_t>(simt::to_bf16(high)) << 16;
}

float widen_f16(std::uint16_t bits) {
  return simt::from_f16(bits);
}

std::uint32_t round_tf32(float value) {
  return simt::to_tf32(value);
}

uint4 load_streaming(const void* from, simt::Where where) {
  check_aligned(from, "a streaming load from an address that is not aligned to 16 bytes", where);
  uint4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void load_matrix_x4(std::uint32_t (&to)[4], const void* row, simt::Where where) {
  load_matrix<false>(to, row, where);
}

void load_matrix_x4_transposed(std::uint32_t (&to)[4], const void* row, simt::Where where) {
  load_matrix<true>(to, row, where);
}

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], simt::Where where) {
  ProductLane mine{d, a, b};
  simt::meet(kAllLanes, &mine, &complete_bf16_product, where);
}

void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], simt::Where where) {
  if (!are_tf32(a) || !are_tf32(b))
    simt::fail("an operand of a tensor core that is not a tf32 number", where);
  ProductLane mine{d, a, b};
  simt::meet(kAllLanes, &mine, &complete_tf32_product, where);
}

}  // namespace expertscope::cuda
