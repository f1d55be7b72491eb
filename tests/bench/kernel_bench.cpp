// SPDX-License-Identifier: GPL-3.0-or-later
// What the CPU kernels reach next to what the machine can do. Every figure is the best of several rounds, and
// each round measures the limits and the kernels one after the other: on a shared machine, only that
// compares.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/thread_pool.h"
#include "tests/bench/machine_limits.h"

namespace expertscope::bench {
namespace {

using Clock = std::chrono::steady_clock;
using cpu::Arithmetic;
using cpu::Kernels;
using cpu::ThreadPool;

constexpr std::int64_t kRowsPerTask = 64;

/// Memory of packed activations.
struct Packed {
  Packed(const Kernels& kernels, Arithmetic arithmetic, std::int64_t rows, std::int64_t cols)
      : memory(cpu::packed_bytes(rows, cols) + cpu::kPackAlignment) {
    const std::vector<float> values(static_cast<std::size_t>(rows * cols), 0.125f);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    view = cpu::plan_activations(kernels, arithmetic, rows, cols,
                                 memory.data() + (cpu::kPackAlignment - address % cpu::kPackAlignment));
    kernels.pack({values.data(), cols, nullptr, rows, cols}, view, 0, rows);
  }
  std::vector<std::uint8_t> memory;
  cpu::PackedActivations view;
};

/// One product over fresh weights: `matrices` of [rows, cols] one after the other, each times `tokens` rows.
struct Case {
  std::string name;
  Arithmetic arithmetic;
  std::int64_t tokens;
  std::int64_t matrices;
  std::int64_t rows;
  std::int64_t cols;
  FormatId format = FormatId::bf16;
  double best_seconds = 1e30;

  double weight_bytes() const {  // of one matrix
    const Matrix w{nullptr, &weight_format(format), rows, cols};
    return static_cast<double>(rows) * static_cast<double>(w.row_bytes() + w.scale_row_bytes());
  }
  double flops() const { return 2.0 * static_cast<double>(rows * cols * tokens); }
};

/// Keeps the time of the fastest matrix: a slice of a millisecond or so is either disturbed or it is not.
void run_case(const Kernels& kernels, ThreadPool& pool, const std::vector<std::uint16_t>& weights, Case& c) {
  const Packed x(kernels, c.arithmetic, c.tokens, c.cols);
  std::vector<float> y(static_cast<std::size_t>(c.tokens * c.rows));
  const std::uint8_t scale = c.format == FormatId::mxfp4 ? 127 : 0x3c;  // 1, or a BF16 or F32 near 0.01
  const std::vector<std::uint8_t> scales(static_cast<std::size_t>(c.rows * c.cols / 32), scale);
  const std::int64_t tasks = (c.rows + kRowsPerTask - 1) / kRowsPerTask;
  for (std::int64_t i = 0; i < c.matrices; ++i) {
    Matrix w{nullptr, &weight_format(c.format), c.rows, c.cols};
    const auto bytes = static_cast<std::int64_t>(w.row_bytes()) * c.rows;
    w.data = weights.data() + i * bytes / 2;
    if (w.format->scales.rows > 0) w.scales = scales.data();
    const Clock::time_point start = Clock::now();
    pool.parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t, int) {
      const std::int64_t n0 = begin * kRowsPerTask;
      kernels.matmul(w, x.view, n0, std::min(c.rows, n0 + kRowsPerTask), y.data(), c.rows);
    });
    c.best_seconds = std::min(c.best_seconds, std::chrono::duration<double>(Clock::now() - start).count());
  }
}

std::vector<Case> all_cases(std::int64_t elements, bool bf16) {
  const Arithmetic fast = bf16 ? Arithmetic::bf16 : Arithmetic::f32;
  constexpr std::int64_t kDecodeElements = 32 << 20;  // 64 MB a slice
  std::vector<Case> cases;
  for (const std::int64_t cols : {2048, 1024, 768})
    cases.push_back({fmt::format("decode, K {}", cols), fast, 1, elements / kDecodeElements,
                     kDecodeElements / cols, cols});
  cases.push_back({"decode, f32 activations, K 2048", Arithmetic::f32, 1, elements / kDecodeElements,
                   kDecodeElements / 2048, 2048});
  cases.push_back({"decode, MXFP4, K 2880", fast, 1, 8, 23040, 2880, FormatId::mxfp4});
  cases.push_back({"decode, MXFP4, f32 activations", Arithmetic::f32, 1, 8, 23040, 2880, FormatId::mxfp4});
  cases.push_back({"gate + up, MXFP4, 64 tokens", fast, 64, 8, 5760, 2880, FormatId::mxfp4});
  cases.push_back({"gate + up, MXFP4, 64 tokens, f32", Arithmetic::f32, 64, 8, 5760, 2880, FormatId::mxfp4});
  cases.push_back({"decode, INT4, K 2048", fast, 1, 8, 32768, 2048, FormatId::int4_bf16});
  cases.push_back({"decode, INT4, f32 activations", Arithmetic::f32, 1, 8, 32768, 2048, FormatId::int4_bf16});
  cases.push_back({"gate + up, INT4, 64 tokens", fast, 64, 8, 4096, 2048, FormatId::int4_bf16});
  cases.push_back(
      {"gate + up, INT4, 64 tokens, f32", Arithmetic::f32, 64, 8, 4096, 2048, FormatId::int4_bf16});
  cases.push_back({"decode, FP8, K 2048", Arithmetic::f32, 1, 8, 16384, 2048, FormatId::f8_e4m3});
  for (const std::int64_t tokens : {8, 16, 32, 64, 128})
    cases.push_back({fmt::format("expert gate + up, {} tokens", tokens), fast, tokens, 16, 2048, 2048});
  cases.push_back({"expert down, 64 tokens", fast, 64, 32, 2048, 1024});
  cases.push_back({"dense, 512 tokens", fast, 512, 4, 2048, 2048});
  cases.push_back({"dense, 512 tokens, K 4096", fast, 512, 2, 2048, 4096});
  cases.push_back({"dense, 512 tokens, f32 activations", Arithmetic::f32, 512, 2, 2048, 2048});
  return cases;
}

/// Seconds for the attention of one layer: `heads` query heads in groups of `group`, head_dim 128.
double attention_seconds(const Kernels& kernels, ThreadPool& pool, std::int64_t position,
                         std::int64_t tokens) {
  constexpr int kHeadDim = 128;
  constexpr int kGroup = 8;
  constexpr int kKvHeads = 4;
  const std::int64_t keys = position + tokens;
  const std::vector<std::uint16_t> cache(static_cast<std::size_t>(keys * kHeadDim * kKvHeads), 0x3c00);
  const std::vector<float> q(static_cast<std::size_t>(tokens * kHeadDim * kGroup * kKvHeads), 0.1f);
  std::vector<float> out(q.size());
  const Clock::time_point start = Clock::now();
  pool.parallel_for(kKvHeads, 1, [&](std::int64_t head, std::int64_t, int) {
    cpu::AttentionTask task;
    task.q = q.data() + head * kGroup * kHeadDim;
    task.q_stride = kGroup * kKvHeads * kHeadDim;
    task.group = kGroup;
    task.head_dim = task.value_dim = kHeadDim;
    task.k = cache.data() + head * keys * kHeadDim;
    task.v = task.k;
    task.kv_stride = kHeadDim;
    task.kv_bf16 = true;
    task.position = position;
    task.tokens = tokens;
    task.scale = 0.1f;
    task.out = out.data() + head * kGroup * kHeadDim;
    task.out_stride = task.q_stride;
    kernels.attention(task);
  });
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void print(const MachineLimits& limits, const std::vector<Case>& cases) {
  fmt::print("machine: read {:.1f} GB/s ({}), f32 {:.0f} GFLOP/s, bf16 {:.0f} GFLOP/s\n\n",
             limits.read_gb_per_s, limits.read_pattern, limits.f32_gflops, limits.bf16_gflops);
  fmt::print("{:<36} {:>8} {:>8} {:>10} {:>8}\n", "product", "GB/s", "of read", "GFLOP/s", "of peak");
  for (const Case& c : cases) {
    const double bandwidth = c.weight_bytes() / c.best_seconds * 1e-9;
    const double rate = c.flops() / c.best_seconds * 1e-9;
    const double peak =
        c.arithmetic == Arithmetic::bf16 && limits.bf16_gflops > 0 ? limits.bf16_gflops : limits.f32_gflops;
    fmt::print("{:<36} {:>8.1f} {:>7.0f}% {:>10.0f} {:>7.0f}%\n", c.name, bandwidth,
               100 * bandwidth / limits.read_gb_per_s, rate, 100 * rate / peak);
  }
}

}  // namespace
}  // namespace expertscope::bench

/// kernel_bench [ROUNDS]
int main(int argc, char** argv) {
  using namespace expertscope;
  using namespace expertscope::bench;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const cpu::CpuLevel level = cpu::choose_cpu_level();
  const Kernels& kernels = cpu::kernels_for(level);
  ThreadPool pool;
  LimitsProbe probe(pool, level);
  const std::int64_t elements = std::int64_t{512} << 20;
  const std::vector<std::uint16_t> weights(static_cast<std::size_t>(elements), 0x3c00);
  std::vector<Case> cases = all_cases(elements, level >= cpu::CpuLevel::avx512_bf16);
  double decode = 1e30;
  double prefill = 1e30;
  for (int i = 0; i < rounds; ++i) {
    probe.round();
    for (Case& c : cases)
      run_case(kernels, pool, weights, c);
    decode = std::min(decode, attention_seconds(kernels, pool, 4095, 1));
    prefill = std::min(prefill, attention_seconds(kernels, pool, 0, 512));
  }
  fmt::print("kernels {}, {} threads, best of {} rounds\n", cpu::cpu_level_name(level), pool.threads(),
             rounds);
  print(probe.best(), cases);
  fmt::print(
      "\nattention, 32 heads in 4 groups, head_dim 128: one token at position 4095 {:.0f} us, 512 tokens "
      "{:.1f} ms\n",
      decode * 1e6, prefill * 1e3);
  return 0;
}
