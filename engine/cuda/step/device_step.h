// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/backend/probe_columns.h"
#include "engine/backend/routing_rules.h"
#include "engine/cuda/device_type.h"

/// What kernels read through pointers: plain structures that the host fills and copies to the device. Because
/// nothing of a step is a kernel argument, one recorded graph serves every step, whatever was edited or
/// switched on in between.
namespace expertscope::cuda {

/// A row-major matrix on the device: `rows` outputs of `cols` inputs. Rows begin at multiples of 16 bytes;
/// the elements between `cols` and `stride` are zero.
struct DeviceMatrix {
  const void* data = nullptr;
  DeviceType type = DeviceType::f32;
  int rows = 0;
  int cols = 0;
  int stride = 0;  ///< elements from one row to the next
};

/// The experts of one MoE layer. An expert is two matrices of one type: `gate_up` [2 * inner, hidden] with
/// the rows of gate_proj first, and `down` [hidden, inner]. The tables are read at every step: the expert
/// cache moves experts between host and device by writing them.
struct DeviceExperts {
  const void* const* gate_up = nullptr;  ///< [experts]
  const void* const* down = nullptr;     ///< [experts]
  DeviceType type = DeviceType::f32;
  int experts = 0;
  int inner = 0;          ///< moe_intermediate_size
  int hidden = 0;         ///< hidden_size
  int hidden_stride = 0;  ///< elements between rows of gate_up
  int inner_stride = 0;   ///< elements between rows of down
};

/// LayerRouting (engine/backend/routing_table.h) as a kernel reads it; arrays are [experts].
using DeviceRouting = RouterRule;

template <class T>
using DevicePointer = T*;

/// Where the probes of a step write: the arrays of a CaptureBlock behind each other in one buffer. Null where
/// a probe is off, and for what the host knows (Granularity::token).
struct DeviceCapture : ProbeArrays<DevicePointer> {
  std::int32_t experts = 0;  ///< of the block: logits of a MoE layer and token
};

/// One step: what is not known before it begins.
struct DeviceStep {
  std::int32_t tokens = 0;                   ///< rows of the batch; a graph made for more skips the rest
  std::int32_t slots = 0;                    ///< RoutingTable::max_top_k: slots per token in every slot array
  std::int32_t output_rows = 0;              ///< rows the head runs for
  std::int32_t candidates = 0;               ///< of a row, that are wanted
  const std::int32_t* id = nullptr;          ///< [tokens]
  const std::int32_t* position = nullptr;    ///< [tokens]
  const std::int32_t* sequence = nullptr;    ///< [tokens] slot of the KV cache
  const std::int32_t* output_row = nullptr;  ///< [output_rows] rows of the batch
  DeviceCapture capture;
  std::int32_t* layer_begun = nullptr;  ///< on the host: the layer whose attention has begun
};

/// Keys (after norm and rotation) and values of every position:
/// [sequence][layer][key or value][kv_head][position][stride], the elements behind head_dim zero.
struct DeviceCache {
  void* data = nullptr;
  int layers = 0;
  int kv_heads = 0;
  int positions = 0;  ///< max_context
  int stride = 0;     ///< head_dim rounded up to 8 elements: a row is read 16 bytes at a time
  int planes = 2;     ///< keys and values; 1 where values are a part of keys (LatentSpec)

  /// First element of a head's keys (which = 0) or values (1), as an index.
  constexpr std::size_t head(int sequence, int layer, int which, int kv_head) const {
    const std::size_t layer_at = static_cast<std::size_t>(sequence) * static_cast<std::size_t>(layers) +
                                 static_cast<std::size_t>(layer);
    const std::size_t plane =
        (layer_at * static_cast<std::size_t>(planes) + static_cast<std::size_t>(which)) *
            static_cast<std::size_t>(kv_heads) +
        static_cast<std::size_t>(kv_head);
    return plane * static_cast<std::size_t>(positions) * static_cast<std::size_t>(stride);
  }
};

/// What attention knows of a layer besides its matrices. Null: the model has no such tensor.
struct DeviceHeads {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int rotary_half = 0;  ///< half the leading channels that turn
  int layer = 0;
  float eps = 0;
  const float* bias = nullptr;    ///< [(heads + 2 kv_heads) * head_dim] of q, k and v
  const float* q_norm = nullptr;  ///< [head_dim]
  const float* k_norm = nullptr;  ///< [head_dim]
  const float* rope = nullptr;    ///< [positions][cosine, sine][head_dim / 2]; 1 and 0 where nothing turns

  constexpr int group() const { return heads / kv_heads; }                 ///< query heads a kv head
  constexpr int row() const { return (heads + 2 * kv_heads) * head_dim; }  ///< floats of q, k and v
};

/// Pieces of a decode step's attention on their way to the block that puts them together:
/// [tokens][heads][splits].
struct AttentionPieces {
  float* out = nullptr;          ///< [.., stride] not yet divided by the sum; `splits` is room, not use
  float* stats = nullptr;        ///< [.., 3] largest score, sum, score of position 0 (-inf: in another piece)
  unsigned* arrived = nullptr;   ///< [tokens][kv_heads] zero between steps
  float* first_token = nullptr;  ///< [tokens][heads] softmax weight of position 0, for the probe
};

/// Query tokens of one sequence: consecutive rows of the batch.
struct QueryTile {
  std::int32_t row = 0;       ///< of the batch
  std::int32_t sequence = 0;  ///< slot of the KV cache
  std::int32_t position = 0;  ///< of the first token
  std::int32_t count = 0;
};

/// What the router decided, [tokens, slots] each: `expert` -1 marks a slot nothing runs in.
struct DeviceSlots {
  std::int32_t* expert = nullptr;
  float* weight = nullptr;  ///< combine weight, without the table's output_scale
};

/// Rows first .. first + rows - 1 of the rows sorted by expert: one tile of one expert.
struct RowTile {
  std::int32_t expert = 0;
  std::int32_t first = 0;
  std::int32_t rows = 0;
};

/// The slots of a layer sorted by expert. R: rows the experts run at a time.
struct SortedRows {
  std::int32_t* count = nullptr;         ///< [experts] rows of an expert: its load
  std::int32_t* next = nullptr;          ///< [experts] where its next row goes
  std::int32_t* row_of_slot = nullptr;   ///< [tokens, slots] row, or -1 where nothing runs
  std::int32_t* token_of_row = nullptr;  ///< [R]
  RowTile* tile = nullptr;               ///< [experts + R / tile rows]
  std::int32_t* tiles = nullptr;         ///< how many
};

/// What the probes know about a part of a row: summed up in order at the end of the step.
struct RowPart {
  float square_sum = 0;
  float max_abs = 0;
  std::int32_t channel = 0;
};

/// What the blocks of a decode step know of the experts' outputs.
struct OutputParts {
  RowPart* output = nullptr;  ///< [tokens][slots][blocks]
  RowPart* hidden = nullptr;  ///< [tokens][blocks]
  bool alone = false;         ///< one expert a token: output is [tokens][blocks]
  float* sum = nullptr;       ///< [tokens][blocks] squares of the sum over the slots; null: nobody asks
};

/// What the kernels of one decoder layer left for the probes of a decode step.
struct LayerParts {
  OutputParts parts;
  int output_blocks = 0;  ///< of `parts.output`
  int hidden_blocks = 0;  ///< of `parts.hidden`
  int moe_layer = 0;
  const DeviceRouting* routing = nullptr;  ///< null: no MoE layer
  DeviceSlots slots;
  const RowPart* shared = nullptr;     ///< [tokens][output_blocks] of the shared expert; null: there is none
  const float* first_token = nullptr;  ///< [tokens][heads]
  int heads = 0;
};

/// Candidates of a row, or of a share of a row, that there is room for. More than kMostCandidates are not
/// looked for on the device: those that equal the last of them need room too.
inline constexpr int kCandidateRoom = 128;
inline constexpr int kMostCandidates = 64;
/// Logits of a row that one block looks through.
inline constexpr int kCandidateShare = 4096;

/// A token and its logit, as Candidate of engine/model/backend.h.
struct DeviceCandidate {
  std::int32_t id = 0;
  float logit = 0;
};

/// The largest logits of a row, in any order; `count` above kCandidateRoom: there were more.
struct RowCandidates {
  double log_sum_exp = 0;
  std::int32_t count = 0;
  DeviceCandidate candidate[kCandidateRoom];
};

/// The same of the shares of rows: [rows][shares].
struct CandidateParts {
  float* largest = nullptr;
  float* sum = nullptr;                  ///< of exp(logit - largest)
  std::int32_t* count = nullptr;         ///< above kCandidateRoom: there were more
  DeviceCandidate* candidate = nullptr;  ///< [.., kCandidateRoom]
};

/// A float is the exact sum of three bf16 numbers: that way the router of a large batch runs on tensor cores
/// and loses only what their sums round.
inline constexpr int kRouterPieces = 3;

/// Tokens whose products are read row by row of the weights: more share matrix tiles better.
inline constexpr int kDecodeTokens = 4;
/// Warps of a block of such products, each of which owns a row of weights at a time.
inline constexpr int kProductWarps = 8;
/// Blocks of a product behind a norm that are resident on a multiprocessor: the kernel's registers, which the
/// sums of more tokens take, are bounded so that they are.
constexpr int product_blocks_resident(int tokens) {
  return tokens == 1 ? 4 : 2;
}
/// Sequences of a recorded step at most.
inline constexpr int kBatchTokens = 64;
/// Slots per token that such products have room for; a policy that asks for more takes the path of a prefill.
inline constexpr int kDecodeSlots = 32;
/// What a kernel has room for; a model beyond is refused when it is opened.
inline constexpr int kMaxExperts = 1024;
inline constexpr int kMaxHeadDim = 256;
/// Pieces that a decode step's attention splits a context into, at most.
inline constexpr int kMaxSplits = 32;

/// Elements of a row on the device: rows begin at multiples of 16 bytes whatever the type.
constexpr int padded(int width) {
  return (width + 7) / 8 * 8;
}

/// Threads of a block of the decode attention.
inline constexpr int kDecodeAttentionThreads = 256;
/// Query heads of one key/value head that a thread of it attends for, owning two channels of each. `stride`
/// is head_dim, padded.
constexpr int decode_heads(int group, int stride) {
  const int together = kDecodeAttentionThreads / (stride / 2);
  return (group + together - 1) / together;
}
inline constexpr int kMostDecodeHeads = 16;

}  // namespace expertscope::cuda
