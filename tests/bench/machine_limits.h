// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/thread_pool.h"

namespace expertscope::bench {

/// What the machine can do, as measured: the yardstick of every benchmark.
struct MachineLimits {
  double read_gb_per_s = 0;       ///< GB/s from memory, the best pattern of all
  const char* read_pattern = "";  ///< which one that was
  double f32_gflops = 0;          ///< GFLOP/s of multiply-add in f32, registers only
  double bf16_gflops = 0;  ///< GFLOP/s of bf16 products (vdpbf16ps or AMX tiles), registers only; 0: none
};

/// Measures the limits round by round and keeps the best of each and those of the last round. On a shared
/// machine a figure means something only next to a limit measured at the same time: call round() between the
/// runs of a benchmark.
class LimitsProbe {
 public:
  /// Allocates `bytes` to stream from: well above the caches.
  LimitsProbe(cpu::ThreadPool& pool, cpu::CpuLevel level, std::size_t bytes = std::size_t{1} << 30);
  /// Everything once: a quarter of a second on an idle machine.
  void round();
  /// Reading only, or arithmetic only.
  void round_read();
  void round_arithmetic();
  const MachineLimits& best() const { return best_; }
  const MachineLimits& last() const { return last_; }

 private:
  cpu::ThreadPool& pool_;
  cpu::CpuLevel level_;
  std::vector<std::uint64_t> buffer_;
  MachineLimits best_;
  MachineLimits last_;
  std::uint64_t sink_ = 0;
};

}  // namespace expertscope::bench
