// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/memory.h"
#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/products.h"
#include "engine/cpu/router.h"
#include "engine/model/config.h"

namespace expertscope::cpu {

/// Tokens routed to one expert: consecutive rows of the sorted arrays of the workspace.
struct ExpertRun {
  int expert = 0;
  std::int64_t first = 0;  ///< first row
  std::int64_t rows = 0;
  PackedActivations input;  ///< hidden states of these tokens
  PackedActivations inner;  ///< silu(gate) * up
};

/// Up to kPackRows rows of an ExpertRun: the unit in which rows are gathered and packed.
struct RowBlock {
  int run = 0;
  std::int64_t begin = 0, end = 0;  ///< rows of the run
};

/// Query tokens of one sequence, and query heads that share a key/value head.
struct AttentionBlock {
  int chunk = 0;
  int head = 0, heads = 0;   ///< the first query head, and how many
  int row = 0;               ///< of the batch
  int begin = 0, count = 0;  ///< tokens of the chunk
};

/// Every array a step writes, allocated once. B = max_batch, E = num_experts, R = expert rows at a time.
struct Workspace {
  std::int64_t expert_rows = 0;  ///< R: rows the experts of one layer run at a time

  Buffer<float> hidden;          ///< [B, hidden] the residual stream
  Buffer<float> normed;          ///< [B, hidden]
  Buffer<float> q;               ///< [B, rows of q_proj]
  Buffer<float> k;               ///< [B, kv_heads * head_dim]
  Buffer<float> v;               ///< [B, kv_heads * head_dim]
  Buffer<float> attended;        ///< [B, output_width] what o_proj, or the DeltaNet's out_proj, takes
  Buffer<float> attention_gate;  ///< [B, AttentionSpec::gate]
  Buffer<float> first_weights;   ///< [B, heads] attention on position 0, where it is asked for
  Buffer<float> projected;       ///< [B, hidden]
  Buffer<float> mlp_sum;         ///< [B, hidden] where a layer norms the sum of its MLPs
  Buffer<float> ones;            ///< [head_dim] the weight of a norm that has none
  Buffer<float> shared_gate;     ///< [B] logit of the shared expert's gate
  Buffer<std::uint8_t> packed;   ///< packed activations of a dense product

  Buffer<float> latent_q;        ///< [B, LatentSpec::q_rank]
  Buffer<float> latent_queries;  ///< [B, heads * head_dim] that attend to latents
  Buffer<float> latent_means;    ///< [B, heads * LatentSpec::rank] of latents, by head

  Buffer<float> delta_grouped;    ///< [B, channels + values] of a DeltaNet whose projections are grouped
  Buffer<float> delta_gates;      ///< [B, 2 * value_heads] likewise
  Buffer<float> delta_qkv;        ///< [B, channels]
  Buffer<float> delta_convolved;  ///< [B, channels]
  Buffer<float> delta_z;          ///< [B, values]
  Buffer<float> delta_b;          ///< [B, value_heads]
  Buffer<float> delta_a;          ///< [B, value_heads]

  Buffer<float> router_logits;        ///< [B, E]
  Buffer<float> probabilities;        ///< [B, E] scores, then scratch of the entropy
  Buffer<RoutedSlot> slots;           ///< [B, top_k of the layer]
  Buffer<std::int32_t> row_of_slot;   ///< [B, top_k of the layer] row of the expert arrays, or -1
  Buffer<std::int32_t> token_of_row;  ///< [R] row of the batch
  Buffer<std::int64_t> next_row;      ///< [E] counting sort
  Buffer<std::uint8_t> expert_input;  ///< packed, all runs
  Buffer<std::uint8_t> expert_inner;  ///< packed, all runs
  Buffer<float> gate;                 ///< [R, moe_intermediate]; dense: [B, intermediate]
  Buffer<float> up;                   ///< likewise; the gate takes its place as silu(gate) * up
  Buffer<float> expert_output;        ///< [R, hidden]

  Buffer<float> head_logits;  ///< [min(B, kHeadRows), vocab] logits that do not leave the backend

  std::vector<std::int32_t> head_tokens;         ///< at most B: rows of the batch the head runs for
  std::vector<ExpertRun> runs;                   ///< at most E
  std::vector<RowBlock> row_blocks;              ///< of all runs
  std::vector<AttentionBlock> attention_blocks;  ///< of all chunks
  ProductList products;

  /// Bytes that allocate() takes.
  static CheckedSize bytes(const ModelConfig& config, const BackendOptions& options);
  [[nodiscard]] bool allocate(const ModelConfig& config, const BackendOptions& options);
};

/// Rows of logits computed at a time where only a reduction of them is wanted: enough to read lm_head seldom.
inline constexpr int kHeadRows = 64;
/// Query tokens of one AttentionBlock.
inline constexpr int kAttentionTokens = 64;

}  // namespace expertscope::cpu
