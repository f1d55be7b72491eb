// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <cstdint>

#include "cuda_runtime.h"

/// The functions of engine/cuda/kernels/instructions.cuh for the emulator; what they mean is said there.
/// Every address that a GPU wants aligned is checked.

namespace expertscope::cuda {

inline unsigned char* dynamic_shared() {
  return simt::dynamic_shared();
}

std::uint32_t pack_bf16(float low, float high);
float widen_f16(std::uint16_t bits);
std::uint32_t round_tf32(float value);
uint4 load_streaming(const void* from, simt::Where where = simt::Where::current());

inline unsigned add_acquire_release(unsigned* counter, unsigned value) {
  return std::atomic_ref<unsigned>(*counter).fetch_add(value, std::memory_order_acq_rel);
}

/// The copy is done as late as a GPU may do it, in copy_async_wait; until then the 16 bytes are 0xFF, which
/// is NaN in bf16 and f32. So both show: a read without a wait, and a copy into what others still read.
inline void copy_async_16(void* shared, const void* from, bool valid,
                          simt::Where where = simt::Where::current()) {
  simt::start_copy(shared, from, valid, where);
}
inline void copy_async_commit() {
  simt::close_copy_group();
}
template <int kPending>
inline void copy_async_wait() {
  static_assert(kPending >= 0);
  simt::finish_copies(kPending);
}

void load_matrix_x4(std::uint32_t (&to)[4], const void* row, simt::Where where = simt::Where::current());
void load_matrix_x4_transposed(std::uint32_t (&to)[4], const void* row,
                               simt::Where where = simt::Where::current());

/// Sums in f32 over k in ascending order, starting from d. A GPU rounds its sums differently.
void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              simt::Where where = simt::Where::current());

/// The same. Operands must be tf32 numbers: a GPU ignores their lowest 13 bits, or does not.
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              simt::Where where = simt::Where::current());

}  // namespace expertscope::cuda
