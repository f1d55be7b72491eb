// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

/// What a TensorObserver is told, by name: every intermediate of a forward pass once, in the order in which
/// it comes to be. [tokens, ...] has a row for each token of the batch, in batch order. The reference
/// (engine/cpu/reference.cpp) and the plain path of CUDA name all that a layer has; the other paths name some
/// of them, and what they name means the same.
namespace expertscope::intermediate {

inline constexpr const char* kEmbedding = "embedding";  ///< [tokens, hidden] rows of the embedding

// Of the mixer of a layer.
inline constexpr const char* kAttnNorm = "attn_norm";    ///< [tokens, hidden] its input, normed
inline constexpr const char* kQ = "q";                   ///< [tokens, heads * head_dim] queries, with bias
inline constexpr const char* kK = "k";                   ///< [tokens, kv_heads * head_dim] keys, with bias
inline constexpr const char* kV = "v";                   ///< [tokens, kv_heads * head_dim] values, with bias
inline constexpr const char* kQNorm = "q_norm";          ///< as q: queries after their norm
inline constexpr const char* kKNorm = "k_norm";          ///< as k: keys after their norm
inline constexpr const char* kQRotary = "q_rotary";      ///< as q: queries turned to their position
inline constexpr const char* kKRotary = "k_rotary";      ///< as k: keys turned to their position
inline constexpr const char* kAttnHeads = "attn_heads";  ///< as q: each head's weighted mean of values
inline constexpr const char* kAttnGate = "attn_gate";    ///< as q, or [tokens, heads]: sigmoid of the gate
inline constexpr const char* kQLatent = "q_latent";      ///< [tokens, q_rank] the latent of queries, normed
inline constexpr const char* kLatent = "latent";         ///< [tokens, turning + rank] a key and the latent
inline constexpr const char* kDeltaConv = "delta_conv";  ///< [tokens, channels] q, k and v, convolved
inline constexpr const char* kDeltaDecay = "delta_decay";  ///< [tokens, value_heads] exp(g)
inline constexpr const char* kDeltaBeta = "delta_beta";    ///< [tokens, value_heads]
inline constexpr const char* kDeltaHeads = "delta_heads";  ///< [tokens, values] what the states answer
inline constexpr const char* kAttnOut = "attn_out";        ///< [tokens, hidden] o_proj of the (gated) heads
inline constexpr const char* kAttnPostNorm = "attn_post_norm";  ///< [tokens, hidden] that, normed
inline constexpr const char* kAttnHidden =
    "attn_hidden";  ///< [tokens, hidden] residual stream after the mixer

// Of the MLP of a layer. Slots of a token lie behind each other; an empty one is 0.
inline constexpr const char* kFfnNorm = "ffn_norm";        ///< [tokens, hidden] its input, normed
inline constexpr const char* kRouterNorm = "router_norm";  ///< [tokens, hidden] after the router's own norm
inline constexpr const char* kRouterLogits = "router_logits";  ///< [tokens, experts] with bias, unedited
inline constexpr const char* kRouterScore =
    "router_score";  ///< [tokens, experts] of the edited logits (routing_rules.h)
inline constexpr const char* kExpertWeight = "expert_weight";  ///< [tokens, slots] combine weights
inline constexpr const char* kExpertGate = "expert_gate";      ///< [tokens, slots * width] gate_proj
inline constexpr const char* kExpertUp = "expert_up";          ///< [tokens, slots * width] up_proj
inline constexpr const char* kExpertInner = "expert_inner";    ///< [tokens, slots * width] activation * up
inline constexpr const char* kExpertDown = "expert_down";      ///< [tokens, slots * hidden] f_e: down_proj
inline constexpr const char* kExpertSum = "expert_sum";        ///< [tokens, hidden] weighted sum of the slots
inline constexpr const char* kSharedGate = "shared_gate";      ///< [tokens, width] of the shared expert
inline constexpr const char* kSharedUp = "shared_up";          ///< [tokens, width]
inline constexpr const char* kSharedInner = "shared_inner";    ///< [tokens, width]
inline constexpr const char* kSharedDown = "shared_down";      ///< [tokens, hidden]
inline constexpr const char* kSharedWeight = "shared_weight";  ///< [tokens, 1] sigmoid of shared_expert_gate
inline constexpr const char* kDenseGate = "dense_gate";        ///< [tokens, width] of the dense MLP
inline constexpr const char* kDenseUp = "dense_up";            ///< [tokens, width]
inline constexpr const char* kDenseInner = "dense_inner";      ///< [tokens, width]
inline constexpr const char* kDenseDown = "dense_down";        ///< [tokens, hidden]
inline constexpr const char* kFfnOut = "ffn_out";              ///< [tokens, hidden] the sum of what is there
inline constexpr const char* kFfnPostNorm = "ffn_post_norm";   ///< [tokens, hidden] that, normed
inline constexpr const char* kHidden = "hidden";  ///< [tokens, hidden] residual stream after the layer

// Of the head: a row for each token whose logits are wanted.
inline constexpr const char* kNorm = "norm";      ///< [rows, hidden] residual stream, normed
inline constexpr const char* kLogits = "logits";  ///< [rows, vocab]

}  // namespace expertscope::intermediate
