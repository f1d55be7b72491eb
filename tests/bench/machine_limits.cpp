// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace expertscope::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

#if defined(__x86_64__)

/// Adds up `bytes` from kStreams places at once, each `kAhead` bytes ahead of its use (0: left to the
/// hardware).
template <int kStreams, int kAhead>
std::uint64_t read_streams(const char* p, std::size_t bytes) {
  __m128i sums[kStreams];
  for (__m128i& sum : sums)
    sum = _mm_setzero_si128();
  const std::size_t part = bytes / kStreams;
  for (std::size_t i = 0; i < part; i += 64) {
#pragma GCC unroll 8
    for (int s = 0; s < kStreams; ++s) {
      const char* at = p + static_cast<std::size_t>(s) * part + i;
      if (kAhead > 0) _mm_prefetch(at + kAhead, _MM_HINT_T0);
      const auto* line = reinterpret_cast<const __m128i*>(at);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j)
        sums[s] = _mm_add_epi64(sums[s], _mm_load_si128(line + j));
    }
  }
  for (int s = 1; s < kStreams; ++s)
    sums[0] = _mm_add_epi64(sums[0], sums[s]);
  return static_cast<std::uint64_t>(
      _mm_cvtsi128_si64(_mm_add_epi64(sums[0], _mm_unpackhi_epi64(sums[0], sums[0]))));
}

struct ReadPattern {
  const char* name;
  std::uint64_t (*read)(const char* p, std::size_t bytes);
};
constexpr ReadPattern kReadPatterns[] = {
    {"1 stream", read_streams<1, 0>},
    {"1 stream, 2 KiB ahead", read_streams<1, 2048>},
    {"2 streams", read_streams<2, 0>},
    {"4 streams", read_streams<4, 0>},
    {"4 streams, 1 KiB ahead", read_streams<4, 1024>},
    {"8 streams", read_streams<8, 0>},
    {"8 streams, 512 B ahead", read_streams<8, 512>},
};

constexpr int kArithmeticSteps = 50000;
constexpr int kTileSteps = 6250;

__attribute__((target("avx2,fma"))) float fma_avx2() {
  __m256 sums[12];
  for (__m256& sum : sums)
    sum = _mm256_setzero_ps();
  __m256 a = _mm256_set1_ps(0.5f);
  asm volatile("" : "+x"(a));
  for (int i = 0; i < kArithmeticSteps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j)
      sums[j] = _mm256_fmadd_ps(a, a, sums[j]);
  }
  for (int j = 1; j < 12; ++j)
    sums[0] = _mm256_add_ps(sums[0], sums[j]);
  return _mm256_cvtss_f32(sums[0]);
}
constexpr double kFmaAvx2Flops = 12.0 * 8 * 2 * kArithmeticSteps;

__attribute__((target("avx512f"))) float fma_avx512() {
  __m512 sums[24];
  for (__m512& sum : sums)
    sum = _mm512_setzero_ps();
  __m512 a = _mm512_set1_ps(0.5f);
  asm volatile("" : "+v"(a));
  for (int i = 0; i < kArithmeticSteps; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < 24; ++j)
      sums[j] = _mm512_fmadd_ps(a, a, sums[j]);
  }
  for (int j = 1; j < 24; ++j)
    sums[0] = _mm512_add_ps(sums[0], sums[j]);
  return _mm512_cvtss_f32(sums[0]);
}
constexpr double kFmaAvx512Flops = 24.0 * 16 * 2 * kArithmeticSteps;

__attribute__((target("avx512f,avx512bf16"))) float bf16_avx512() {
  __m512 sums[24];
  for (__m512& sum : sums)
    sum = _mm512_setzero_ps();
  __m512i a = _mm512_set1_epi32(0x3c003c00);
  asm volatile("" : "+v"(a));
  for (int i = 0; i < kArithmeticSteps; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < 24; ++j)
      sums[j] = _mm512_dpbf16_ps(sums[j], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(a));
  }
  for (int j = 1; j < 24; ++j)
    sums[0] = _mm512_add_ps(sums[0], sums[j]);
  return _mm512_cvtss_f32(sums[0]);
}
constexpr double kBf16Avx512Flops = 24.0 * 32 * 2 * kArithmeticSteps;

/// Tile products with their operands read from the first-level cache, as a matrix product does.
float bf16_amx() {
  struct Config {
    std::uint8_t palette = 1;
    std::uint8_t zero[15] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  alignas(64) const Config config;
  alignas(64) const std::uint16_t operand[32][32] = {};
  const std::int64_t stride = 64;
  asm volatile("ldtilecfg %0" ::"m"(config));
  asm volatile("tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3" ::);
  for (int i = 0; i < kTileSteps; ++i) {
    asm volatile(
        "tileloadd (%0,%2,1), %%tmm4\n tileloadd (%1,%2,1), %%tmm6\n"
        "tileloadd (%1,%2,1), %%tmm7\n tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n"
        "tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n tileloadd (%0,%2,1), %%tmm5\n"
        "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n tdpbf16ps %%tmm7, %%tmm5, %%tmm3" ::"r"(operand),
        "r"(operand + 16), "r"(stride)
        : "memory");
  }
  asm volatile("tilerelease" ::);
  return 0;
}
constexpr double kBf16AmxFlops = 4.0 * 16 * 16 * 32 * 2 * kTileSteps;

#else

std::uint64_t read_plain(const char* p, std::size_t bytes) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(p);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes / sizeof(*words); ++i)
    sum += words[i];
  return sum;
}
struct ReadPattern {
  const char* name;
  std::uint64_t (*read)(const char* p, std::size_t bytes);
};
constexpr ReadPattern kReadPatterns[] = {{"1 stream", read_plain}};

#endif

/// GFLOP/s of `work` on every thread at once.
template <class Work>
double rate_of(cpu::ThreadPool& pool, Work work, double flops) {
  constexpr int kSlices = 4;
  const std::int64_t repeats = 4 * pool.threads();
  std::atomic<int> finite{0};
  double best = 0;
  for (int slice = 0; slice < kSlices; ++slice) {
    const Clock::time_point start = Clock::now();
    pool.parallel_for(repeats, 1, [&](std::int64_t, std::int64_t, int) {
      if (work() >= 0) finite.fetch_add(1);
    });
    best = std::max(best, static_cast<double>(repeats) * flops / seconds_since(start) * 1e-9);
  }
  return best;
}

}  // namespace

LimitsProbe::LimitsProbe(cpu::ThreadPool& pool, cpu::CpuLevel level, std::size_t bytes)
    : pool_(pool), level_(level), buffer_(bytes / sizeof(std::uint64_t), 1) {}

void LimitsProbe::round() {
  round_read();
  round_arithmetic();
}

void LimitsProbe::round_read() {
  last_.read_gb_per_s = 0;
  constexpr std::int64_t kBlock = 256 << 10;
  constexpr std::int64_t kBlocksPerSlice = 256;  // 64 MB: a few milliseconds
  const auto address = reinterpret_cast<std::uintptr_t>(buffer_.data());
  const char* data = reinterpret_cast<const char*>(buffer_.data()) + (64 - address % 64) % 64;
  const auto slices =
      static_cast<std::int64_t>((buffer_.size() * sizeof(std::uint64_t) - 64) / (kBlock * kBlocksPerSlice));
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    const ReadPattern& pattern = kReadPatterns[static_cast<std::size_t>(slice) % std::size(kReadPatterns)];
    const char* from = data + slice * kBlocksPerSlice * kBlock;
    std::atomic<std::uint64_t> sum{0};
    const Clock::time_point start = Clock::now();
    pool_.parallel_for(kBlocksPerSlice, 1, [&](std::int64_t begin, std::int64_t, int) {
      sum.fetch_add(pattern.read(from + begin * kBlock, kBlock));
    });
    const double rate = static_cast<double>(kBlocksPerSlice * kBlock) / seconds_since(start) * 1e-9;
    sink_ += sum;
    if (rate <= last_.read_gb_per_s) continue;
    last_.read_gb_per_s = rate;
    last_.read_pattern = pattern.name;
  }
  if (last_.read_gb_per_s <= best_.read_gb_per_s) return;
  best_.read_gb_per_s = last_.read_gb_per_s;
  best_.read_pattern = last_.read_pattern;
}

void LimitsProbe::round_arithmetic() {
#if defined(__x86_64__)
  using cpu::CpuLevel;
  if (level_ >= CpuLevel::avx512) {
    last_.f32_gflops = rate_of(pool_, fma_avx512, kFmaAvx512Flops);
  } else if (level_ == CpuLevel::avx2) {
    last_.f32_gflops = rate_of(pool_, fma_avx2, kFmaAvx2Flops);
  }
  if (level_ == CpuLevel::avx512_bf16) last_.bf16_gflops = rate_of(pool_, bf16_avx512, kBf16Avx512Flops);
  if (level_ == CpuLevel::amx) last_.bf16_gflops = rate_of(pool_, bf16_amx, kBf16AmxFlops);
  best_.f32_gflops = std::max(best_.f32_gflops, last_.f32_gflops);
  best_.bf16_gflops = std::max(best_.bf16_gflops, last_.bf16_gflops);
#endif
}

}  // namespace expertscope::bench
