// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>

#include "engine/backend/backend.h"
#include "engine/backend/routing_table.h"
#include "engine/cuda/kv_cache.h"
#include "engine/cuda/products.h"
#include "engine/cuda/rope_table.h"
#include "engine/cuda/runtime/queue.h"
#include "engine/cuda/step/routing_tables.h"
#include "engine/cuda/step/step_input.h"
#include "engine/cuda/step/workspace.h"
#include "engine/cuda/weights/device_weights.h"
#include "engine/cuda/weights/expert_cache.h"
#include "engine/model/config.h"

/// The tuned path: the operations of engine/cpu/forward.h on the device, under the same names. Each queues
/// kernels and returns; the step waits once, at its end.
///
/// There are two ways through a layer. The fused decode (kDecodeTokens sequences at most) is bound by memory
/// and by the number of kernels: six a layer, weights read once. Everything else goes through matrix tiles.
/// Steps of one token a sequence are recorded, kBatchTokens at most: their launches know the bucket
/// and nothing else of the step.
namespace expertscope::cuda {

/// What the operations of one step share.
struct ForwardContext {
  const ModelConfig& config;
  const DeviceWeights& weights;
  const Workspace& work;
  const KvCache& cache;
  const RopeTables& rope;
  const RoutingTables& routing;
  const StepInput& input;
  ExpertCache& experts;
  Products& products;
  Queue& queue;
  bool bf16 = false;  ///< MathMode::bf16
  int multiprocessors = 1;

  int tokens = 0;  ///< rows of the batch
  int bucket = 0;  ///< one token of each sequence: the tokens a recorded step has room for; 0: any other step
  int slots = 0;   ///< RoutingTable::max_top_k
  const RoutingTable* table = nullptr;
  CaptureRequest capture;  ///< nothing: no probes

  /// One token of each sequence.
  bool decoding() const { return bucket > 0; }
  /// The fused decode: so few of them that a layer takes six kernels.
  bool fused() const { return decoding() && bucket <= kDecodeTokens; }
  /// Rows that kernels are launched for. Those behind the batch's last hold anything and are read by nobody.
  int rows() const { return decoding() ? bucket : tokens; }
  /// Slots of a token that may be filled in a layer. Whatever a policy asks for, a recorded step has room for
  /// those of the model.
  int top_k(int layer) const {
    return decoding() ? config.layer(layer).router.top_k
                      : table->layers[static_cast<std::size_t>(layer)].top_k;
  }
  /// Whether a product with weights of this type takes activations rounded to bf16.
  bool rounds(DeviceType type) const { return bf16 && type == DeviceType::bf16; }
  /// The slots of a layer: the fused decode keeps those of all layers for the probes at the end.
  DeviceSlots layer_slots(int layer) const {
    const int offset = fused() ? layer * kDecodeTokens * work.decode_slots : 0;
    return {work.slots.expert + offset, work.slots.weight + offset};
  }
};

/// hidden = rows of embed_tokens.
void embed(ForwardContext& context);
/// hidden += o_proj(attention(norm(hidden))): projections, q/k norm, rotation, the KV cache, causal
/// attention.
void attention(ForwardContext& context, int layer);
/// Query tokens of a tile of the attention kernels, which the step input lists.
int query_tile(MathMode math, int head_dim);
/// hidden += sum over slots of weight * expert(norm(hidden)), with every probe of a MoE layer.
void moe(ForwardContext& context, int layer, int moe_layer);
/// The part of moe() between router and sum, for many tokens: the slots of tokens first .. last - 1 sorted by
/// expert into work.sorted, and the experts' outputs in work.expert_output.
void run_routed(ForwardContext& context, int layer, const DeviceExperts& experts, int first, int last);
/// hidden += mlp(norm(hidden)) of a layer without experts.
void dense_mlp(ForwardContext& context, int layer);
/// logits of output rows first .. first + rows - 1 in work.logits = lm_head(norm(hidden)).
void head(ForwardContext& context, int first, int rows);
/// log_probs[first .. first + rows - 1] of the targets, from work.logits.
void score(ForwardContext& context, int first, int rows);
/// work.candidates[0 .. rows - 1] from work.logits.
void find_candidates(ForwardContext& context, int rows);
/// Raises work.not_finite[1] when a logit of the first `rows` rows of work.logits is NaN or infinite.
void check_logits(ForwardContext& context, int rows);
/// work.exact = norm(hidden) of the output rows, as the head sees them: for an observer.
void observe_norm(ForwardContext& context);
/// Raises work.not_finite[0] when the hidden state of a token is NaN or infinite.
void check_hidden(ForwardContext& context);

// Shared by the operations.

/// What the kernels of decode steps leave for the probes, in work.layer_parts; once.
Status describe_layers(const ModelConfig& config, const Workspace& work, const RoutingTables& routing,
                       cudaStream_t stream);
/// The probes of a fused decode step, from what its layers left.
void finish_decode_probes(ForwardContext& context);
/// work.normed = norm(hidden) for the product with weights of type `reader`; `exact`: and in f32 for the
/// router.
void norm_tokens(ForwardContext& context, const NormSpec& norm, const float* weight, DeviceType reader,
                 bool exact);
/// The probes of a layer where no kernel has taken them on the way: of its end, and of its attention.
void capture_attention(ForwardContext& context, int layer);
void capture_hidden(ForwardContext& context, int layer);

/// Blocks for `rows` rows of weights, no more than are resident at a time: each begins with the same norm, or
/// with a copy of its inputs, and one that came after another would repeat it. (Where fewer are resident, the
/// rest follow: add_product has less to repeat, the router few rows.)
inline unsigned product_blocks(const ForwardContext& context, int rows) {
  const int resident = context.multiprocessors * product_blocks_resident(context.bucket);
  return static_cast<unsigned>(std::clamp((rows + kProductWarps - 1) / kProductWarps, 1, resident));
}

}  // namespace expertscope::cuda
