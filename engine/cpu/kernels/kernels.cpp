// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/kernels/kernels.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include "engine/cpu/kernels/levels.h"

#ifdef EXPERTSCOPE_X86_KERNELS
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace expertscope::cpu {
namespace {

constexpr std::array<const char*, 5> kLevelNames = {"scalar", "avx2", "avx512", "avx512_bf16", "amx"};

#ifdef EXPERTSCOPE_X86_KERNELS
/// Conversions of 16-bit floats, which __builtin_cpu_supports has no name for in every compiler.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 29 & 1) != 0;
}

/// Tiles are a state the process asks the kernel for, once; asking again is harmless.
bool request_amx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  const bool tiles = (edx >> 24 & 1) != 0;
  const bool bf16 = (edx >> 22 & 1) != 0;
  if (!tiles || !bf16) return false;
  // XCR0 bits 17 and 18: the operating system saves tile configuration and tile data.
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low >> 17 & 3) != 3) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

}  // namespace

const char* cpu_level_name(CpuLevel level) {
  return kLevelNames[static_cast<std::size_t>(level)];
}

bool parse_cpu_level(const char* name, CpuLevel& level) {
  for (std::size_t i = 0; i < kLevelNames.size(); ++i) {
    if (std::strcmp(name, kLevelNames[i]) != 0) continue;
    level = static_cast<CpuLevel>(i);
    return true;
  }
  return false;
}

CpuLevel detect_cpu_level() {
#ifdef EXPERTSCOPE_X86_KERNELS
  // __builtin_cpu_supports also asks the operating system's XCR0 about the wide registers.
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
    return CpuLevel::scalar;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return CpuLevel::avx2;
  if (!__builtin_cpu_supports("avx512bf16")) return CpuLevel::avx512;
  return request_amx() ? CpuLevel::amx : CpuLevel::avx512_bf16;
#else
  return CpuLevel::scalar;
#endif
}

CpuLevel choose_cpu_level() {
  const CpuLevel machine = detect_cpu_level();
  const char* wanted = std::getenv("EXPERTSCOPE_CPU");
  CpuLevel level = machine;
  if (wanted == nullptr || !parse_cpu_level(wanted, level) || level > machine) return machine;
  return level;
}

const Kernels& kernels_for(CpuLevel level) {
#ifdef EXPERTSCOPE_X86_KERNELS
  switch (level) {
    case CpuLevel::scalar:
      return scalar_kernels();
    case CpuLevel::avx2:
      return avx2_kernels();
    case CpuLevel::avx512:
      return avx512_kernels();
    case CpuLevel::avx512_bf16:
      return avx512_bf16_kernels();
    case CpuLevel::amx:
      return amx_kernels();
  }
#endif
  static_cast<void>(level);
  return scalar_kernels();
}

PackedActivations plan_activations(const Kernels& kernels, Arithmetic arithmetic, std::int64_t rows,
                                   std::int64_t cols, void* memory) {
  PackedActivations packed;
  packed.arithmetic = arithmetic;
  packed.layout = kernels.layout(arithmetic, rows);
  packed.rows = rows;
  packed.cols = cols;
  packed.stride = (cols + kPackCols - 1) / kPackCols * kPackCols;
  packed.memory = memory;
  return packed;
}

}  // namespace expertscope::cpu
