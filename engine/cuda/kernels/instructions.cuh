// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

/// The instructions C++ has no word for: tensor cores, asynchronous copies, streaming loads, ordered atomics,
/// conversions.
/// Everything else in this folder is plain CUDA C++. A build for the host (the emulator of tests/simt) brings
/// its own definitions of the same functions, so that the kernels above them are one source.
#if !defined(__CUDACC__)
#include <simt_instructions.h>
#else
namespace expertscope::cuda {

/// Dynamic shared memory of the block, aligned to 16 bytes.
__device__ inline unsigned char* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
}

/// Two floats rounded to bf16, nearest even: `low` in the lower half, as it lies in memory.
__device__ inline std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

/// IEEE binary16 to float.
__device__ inline float widen_f16(std::uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

/// A float rounded to tf32 (11 significant bits, the exponents of a float), nearest, ties away from zero: a
/// float whose lowest 13 bits are zero. A widened f16 is one already.
__device__ inline std::uint32_t round_tf32(float value) {
  std::uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return rounded;
}

/// 16 bytes that this kernel reads once: weights pass through without pushing activations out of the first
/// level cache. `from` is aligned to 16 bytes and written by no one while the kernel runs. Volatile, so that
/// a load asked for before a barrier is not put behind it.
__device__ inline uint4 load_streaming(const void* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

/// Adds to a counter in global memory and returns what it was: what this thread knows to be written becomes
/// visible to those who see the new value by the same function, and theirs to this one.
__device__ inline unsigned add_acquire_release(unsigned* counter, unsigned value) {
  unsigned before;
  asm volatile("atom.add.acq_rel.gpu.u32 %0, [%1], %2;" : "=r"(before) : "l"(counter), "r"(value) : "memory");
  return before;
}

/// Starts a copy of 16 bytes from global to shared memory, both aligned to 16; zeros when `valid` is false
/// (`from` is not read then).
__device__ inline void copy_async_16(void* shared, const void* from, bool valid) {
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
/// Closes the group of copies this thread started since the last call.
__device__ inline void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most `kPending` of this thread's groups are in flight. Other threads see the data after the
/// next __syncthreads.
template <int kPending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four 8x8 matrices of 16-bit elements from shared memory. Lane l gives the address of row l % 8 of matrix
/// l / 8 (16 bytes, aligned); every lane receives elements 2 * (lane % 4) and + 1 of row lane / 4 of each.
__device__ inline void load_matrix_x4(std::uint32_t (&to)[4], const void* row) {
  const auto from = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}
/// The same, each matrix transposed: the lane receives elements of column lane / 4.
__device__ inline void load_matrix_x4_transposed(std::uint32_t (&to)[4], const void* row) {
  const auto from = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}

/// d += a b on tensor cores, f32 sums: a 16x16 bf16 (row-major fragments), b 16x8 bf16 (column-major), d
/// 16x8. With g = lane / 4 and p = lane % 4, a lane holds of a: rows g, g + 8 of columns 2p, 2p + 1 (a[0],
/// a[1]) and of columns 2p + 8, 2p + 9 (a[2], a[3]); of b: rows 2p, 2p + 1 and 2p + 8, 2p + 9 of column g; of
/// d: columns 2p, 2p + 1 of rows g (d[0], d[1]) and g + 8 (d[2], d[3]). (PTX ISA 8.0, "Matrix fragments for
/// mma.m16n8k16")
__device__ inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d += a b on tensor cores, f32 sums: a 16x8 tf32 (row-major fragments), b 8x8 tf32 (column-major), d 16x8.
/// With g = lane / 4 and p = lane % 4, a lane holds of a: rows g, g + 8 of column p (a[0], a[1]) and of
/// column p + 4 (a[2], a[3]); of b: rows p and p + 4 of column g; of d what it holds in mma_bf16. (PTX
/// ISA 8.0, "Matrix fragments for mma.m16n8k8")
__device__ inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace expertscope::cuda
#endif
