// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/model/layer_spec.h"
#include "engine/model/weights.h"

/// The arithmetic of the CPU backend: pure functions without state, one table of them per instruction-set
/// level. scalar.cpp is the specification; every other level must agree with it within rounding.
///
/// Numbers: sums are f32. Denormal inputs count as zero in the bf16 products of the levels avx512_bf16 and
/// amx (the instructions say so); NaN and infinity propagate everywhere.
///
/// Stability: on every level but amx, y[m][n] is summed in an order that depends on `cols` alone, never on
/// the number of rows, their place in the batch or the range a thread was given. The amx level uses tiles
/// from kAmxMinRows rows on and the order of avx512_bf16 below that.
///
/// On a machine without AMX the amx kernels are verified through an emulation of the tile instructions only
/// (amx_tiles.h; their packing and their stores need no tiles and are tested as they are).
namespace expertscope::cpu {

/// Instruction sets in ascending order; each includes those before it.
enum class CpuLevel : std::uint8_t {
  scalar,       ///< portable C++
  avx2,         ///< AVX2 + FMA + F16C
  avx512,       ///< AVX-512 F/BW/DQ/VL
  avx512_bf16,  ///< and AVX512_BF16: vdpbf16ps
  amx,          ///< and AMX-TILE + AMX-BF16, with the kernel's permission to use tiles
};

/// "scalar", "avx2", "avx512", "avx512_bf16", "amx".
const char* cpu_level_name(CpuLevel level);
/// The inverse of cpu_level_name; false when the name is none.
bool parse_cpu_level(const char* name, CpuLevel& level);
/// The highest level this machine and its operating system run. Asks Linux for the use of AMX tiles when the
/// processor has them.
CpuLevel detect_cpu_level();
/// detect_cpu_level(), lowered by the environment variable EXPERTSCOPE_CPU when it names a level (valgrind
/// and comparisons). A level the machine lacks or an unknown name is ignored.
CpuLevel choose_cpu_level();

/// Arithmetic of one matrix product.
enum class Arithmetic : std::uint8_t {
  f32,   ///< activations f32; weights of any format, with the f32 values they stand for
  bf16,  ///< activations rounded to bf16 (nearest even); weights must be of a format that BF16 holds
};
/// The arithmetic of a product in the given mode: bf16 applies to weights that BF16 holds.
inline Arithmetic arithmetic_for(bool bf16_mode, const Matrix& w) {
  const FormatId id = w.format->id;
  const bool held = id == FormatId::bf16 || id == FormatId::mxfp4 || id == FormatId::int4_bf16;
  return bf16_mode && held ? Arithmetic::bf16 : Arithmetic::f32;
}

/// Rows of f32 activations as they lie in a workspace; `index` gathers (tokens of one expert).
struct ActivationRows {
  const float* data = nullptr;
  std::int64_t stride = 0;              ///< floats from one row to the next
  const std::int32_t* index = nullptr;  ///< [rows] which row; null: 0, 1, 2, ...
  std::int64_t rows = 0;                ///< M
  std::int64_t cols = 0;                ///< K

  const float* row(std::int64_t m) const { return data + stride * (index ? index[m] : m); }
};

/// Where the elements of packed activations lie.
enum class PackLayout : std::uint8_t {
  f32_rows,    ///< [rows][stride] f32; rounded to bf16 when the arithmetic is bf16
  bf16_rows,   ///< [rows][stride] bf16
  bf16_tiles,  ///< [rows / 16][stride / 2][16][2] bf16, padded with zeros: the B operand of AMX
};

/// Activations made ready once and shared by every product and thread that reads them. A view: the memory
/// belongs to the caller.
struct PackedActivations {
  Arithmetic arithmetic = Arithmetic::f32;
  PackLayout layout = PackLayout::f32_rows;
  std::int64_t rows = 0;    ///< M
  std::int64_t cols = 0;    ///< K
  std::int64_t stride = 0;  ///< cols rounded up to kPackCols; the padding is zero
  void* memory = nullptr;   ///< packed_bytes(rows, cols), aligned to kPackAlignment
};
inline constexpr std::int64_t kPackCols = 32;      ///< a row is padded to this many elements
inline constexpr std::int64_t kPackRows = 16;      ///< ranges given to Kernels::pack start at multiples
inline constexpr std::size_t kPackAlignment = 64;  ///< bytes
inline constexpr std::int64_t kAmxMinRows = 8;     ///< fewer rows than this never use tiles

/// Bytes that hold `rows` x `cols` packed activations in any arithmetic on any level. Callers bound both
/// factors first.
constexpr std::size_t packed_bytes(std::int64_t rows, std::int64_t cols) {
  const auto padded_rows = static_cast<std::size_t>((rows + kPackRows - 1) / kPackRows * kPackRows);
  const auto padded_cols = static_cast<std::size_t>((cols + kPackCols - 1) / kPackCols * kPackCols);
  return padded_rows * padded_cols * sizeof(float);
}

/// What the probes want to know about one row.
struct RowStats {
  float norm = 0;            ///< L2 norm
  float max_abs = 0;         ///< max |x_i|; NaN when any element is NaN
  std::int32_t channel = 0;  ///< where that maximum is: the first of equals
};

/// Attention of consecutive query tokens of one sequence over the cache of one key/value head, causal. Every
/// query head of the group shares the keys and values it reads.
struct AttentionTask {
  const float* q = nullptr;      ///< [tokens][q_stride]; head h of the group starts at h * head_dim
  std::int64_t q_stride = 0;     ///< floats between tokens
  int group = 1;                 ///< query heads that share this key/value head
  int head_dim = 0;              ///< elements of a query and a key
  int value_dim = 0;             ///< elements of a value and an output, at most head_dim
  const void* k = nullptr;       ///< [positions][kv_stride] keys of this head, position 0 first
  const void* v = nullptr;       ///< [positions][kv_stride] values
  std::int64_t kv_stride = 0;    ///< elements between positions
  bool kv_bf16 = false;          ///< keys and values are bf16, else f32
  std::int64_t position = 0;     ///< of the first query token: it sees keys 0 .. position
  std::int64_t tokens = 0;       ///< query tokens; token t sees keys 0 .. position + t
  std::int64_t window = 0;       ///< the last so many of them; 0: all
  const float* sinks = nullptr;  ///< [group] scores without a value; null: none
  float scale = 1;               ///< of the scores: 1 / sqrt(head_dim)
  float* out = nullptr;          ///< [tokens][out_stride]; head h of the group starts at h * value_dim
  std::int64_t out_stride = 0;   ///< floats between tokens
  /// [tokens][first_stride] softmax weight of position 0, one float a head of the group; null: not wanted.
  float* first = nullptr;
  std::int64_t first_stride = 0;  ///< floats between tokens
};

/// One token of one value head of a DeltaNet (DeltaNetSpec).
struct DeltaStep {
  float* state = nullptr;    ///< [key_dim][value_dim] S, which becomes the new one
  const float* q = nullptr;  ///< [key_dim] a unit vector / sqrt(key_dim)
  const float* k = nullptr;  ///< [key_dim] a unit vector
  const float* v = nullptr;  ///< [value_dim]
  float decay = 1;           ///< exp(g)
  float beta = 1;
  std::int64_t key_dim = 0;
  std::int64_t value_dim = 0;
  float* out = nullptr;  ///< [value_dim] S^T q
};

/// One level's functions. Pointers may be unaligned (to their element type only) unless said otherwise.
struct Kernels {
  CpuLevel level;

  /// Which layout `rows` activations take.
  PackLayout (*layout)(Arithmetic arithmetic, std::int64_t rows);
  /// Fills rows [m0, m1) of `out`; m0 a multiple of kPackRows. Threads may share the work.
  void (*pack)(const ActivationRows& x, const PackedActivations& out, std::int64_t m0, std::int64_t m1);
  /// y[m * y_stride + n] = sum_k x[m][k] * w[n][k] for all rows m of x and n in [n0, n1).
  /// w.cols == x.cols; bf16 layouts take weights that BF16 holds only.
  void (*matmul)(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1, float* y,
                 std::int64_t y_stride);

  /// Matrix::dequantise.
  void (*dequantise)(const Matrix& w, std::int64_t row, std::int64_t first, std::int64_t count, float* y);
  /// Rounds n elements to bf16, nearest even (to store keys and values).
  void (*to_bf16)(const float* x, std::int64_t n, std::uint16_t* y);
  /// y = weight * x / sqrt(mean(x^2) + eps); y may be x. (Zhang and Sennrich 2019, "RMSNorm")
  void (*rms_norm)(const float* x, const float* weight, std::int64_t n, float eps, float* y);
  /// Rotates one head in place: pairs (i, i + head_dim / 2) by the angle whose cosine and sine are given,
  /// [head_dim / 2] each. (Su et al. 2021, "RoFormer", in the half-split form of Hugging Face)
  void (*rope)(float* x, const float* cosine, const float* sine, std::int64_t head_dim);
  /// out = rules::inner_of(mlp, gate, up) (engine/backend/activation.h) of a gated MLP with SiLU; out may be
  /// gate or up. (Shazeer 2020, "SwiGLU")
  void (*swiglu)(const MlpSpec& mlp, const float* gate, const float* up, std::int64_t n, float* out);
  /// y += a * x
  void (*axpy)(float a, const float* x, std::int64_t n, float* y);
  /// Norm, maximum and channel in one pass.
  RowStats (*row_stats)(const float* x, std::int64_t n);
  /// out = softmax(scale * q k^T) v, where the sinks take part in the softmax; with an online softmax over
  /// blocks of keys: memory does not grow with the context, and a row's result depends on its own position
  /// only. (Dao et al. 2022, "FlashAttention")
  void (*attention)(const AttentionTask& task);
  /// y = silu(sum over taps of weights[tap] * rows[tap]), element by element: weights [taps][n].
  void (*convolve)(const float* const* rows, const float* weights, int taps, std::int64_t n, float* y);
  void (*delta_step)(const DeltaStep& step);
};

/// The table of a level. The caller makes sure the machine has it (choose_cpu_level).
const Kernels& kernels_for(CpuLevel level);

/// Describes packed activations in `memory`; fill them with Kernels::pack.
PackedActivations plan_activations(const Kernels& kernels, Arithmetic arithmetic, std::int64_t rows,
                                   std::int64_t cols, void* memory);

/// Row ranges of a product are best split at multiples of this; 64 rows and more fetch well ahead.
inline constexpr std::int64_t kRowGranularity = 32;

}  // namespace expertscope::cpu
