// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <initializer_list>

#include "engine/backend/backend.h"
#include "engine/backend/capture.h"
#include "engine/backend/rope_table.h"
#include "engine/backend/routing_table.h"
#include "engine/cpu/delta_state.h"
#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/thread_pool.h"
#include "engine/cpu/kv_cache.h"
#include "engine/cpu/products.h"
#include "engine/cpu/workspace.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"

namespace expertscope::cpu {

/// What the operations of one step share. They read and write the arrays of `work`; the residual stream is
/// work.hidden. Tokens of all chunks lie behind each other as rows 0 .. tokens - 1.
struct ForwardContext {
  const ModelConfig& config;
  const Weights& weights;
  const Kernels& kernels;
  ThreadPool& pool;
  Workspace& work;
  KvCache& cache;
  DeltaStates& delta_states;
  const RopeTables& rope;
  bool bf16 = false;  ///< MathMode::bf16

  const Batch& batch;
  std::int64_t tokens = 0;
  const RoutingTable& table;
  CaptureBlock* capture = nullptr;  ///< null: no probes
};

/// hidden = rows of embed_tokens.
void embed(ForwardContext& context);

/// hidden += o_proj(attention(norm(hidden))): projections, q/k norm, rotation, the KV cache, causal
/// attention.
void attention(ForwardContext& context, int layer);

// Of attention() in a layer with a latent:
/// work.latent_queries, with which heads attend to latents, and the latents' place in the cache.
void project_latents(ForwardContext& context, int layer);
/// work.attended = each head's values, of the means of latents in work.latent_means.
void expand_means(ForwardContext& context, int layer);

/// hidden += the DeltaNet of norm(hidden), and the states of its sequences.
void delta_net(ForwardContext& context, int layer);

/// hidden += what the layer has of experts, shared expert and dense MLP, with the norms of their sum.
void mlps(ForwardContext& context, int layer, int moe_layer);

// The parts of mlps(), which add to mlp_sum().
/// += sum over slots of weight * expert(norm(hidden)), with every probe of a MoE layer.
void moe(ForwardContext& context, int layer, int moe_layer);

/// += shared expert(normed), whose gate is a sigmoid where there is one, with its probe; behind moe(),
/// in the same layer.
void shared_expert(ForwardContext& context, int layer, int moe_layer);

/// += mlp(norm(hidden)), alone or beside experts.
void dense_mlp(ForwardContext& context, int layer);
/// Whether the layer does something with the sum of its MLPs before it is added, or reads the residual stream
/// again after the first of them.
bool sums_apart(const LayerSpec& spec);
/// The residual stream, or work.mlp_sum where sums_apart().
float* mlp_sum(ForwardContext& context, int layer);

/// What the batch wants of lm_head(norm(hidden)), into the arrays of `output`, which have their size; the
/// normed rows stay in work.normed. False when a logit is not finite.
[[nodiscard]] bool head(ForwardContext& context, StepOutput& output);

// Shared by the operations.

/// normed = norm(hidden), all tokens.
void norm_tokens(ForwardContext& context, const NormSpec& norm, const Vector& weight);
/// normed = what mixer or MLPs take: norm(hidden), or hidden where the layer has no norm before them.
void take_input(ForwardContext& context, int layer, const Vector& weight);
/// rows [tokens, hidden] = norm(rows).
void norm_rows(ForwardContext& context, const NormSpec& norm, const Vector& weight, float* rows);
/// row *= factor
void scale_row(float* row, std::int64_t width, float factor);
/// One arithmetic for products that share their input: bf16 when the mode is and all weights are BF16.
Arithmetic shared_arithmetic(const ForwardContext& context, std::initializer_list<const Matrix*> weights);
/// Packs rows [0, rows) of `x` [rows, cols] into work.packed.
PackedActivations pack_rows(ForwardContext& context, const float* x, std::int64_t rows, std::int64_t cols,
                            Arithmetic arithmetic);
/// hidden += projection of work.attended [tokens, cols], with its bias and the layer's norm after it: what
/// every mixer ends with.
void add_projected(ForwardContext& context, int layer, const Matrix& projection, const Vector& bias);
/// Puts a key or value of a head at its place in the cache, in its type.
void store_cached(const ForwardContext& context, const float* head, std::int64_t width, void* place);
/// row += bias, when there is one.
void add_bias(const ForwardContext& context, const Vector& bias, float* row);
/// False when any value is NaN or infinite.
bool all_finite(const float* values, std::int64_t count);
/// The probe of a layer's end: max |hidden| of a token.
void capture_hidden(const ForwardContext& context, int layer, std::int64_t token);

}  // namespace expertscope::cpu
