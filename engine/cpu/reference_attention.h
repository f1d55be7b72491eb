// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

#include "engine/cpu/reference_math.h"
#include "engine/model/layer_spec.h"
#include "engine/model/weights.h"

/// Softmax attention of one head, and what latent attention makes of the latents, in f32 on one thread.
namespace expertscope::cpu {

/// Rows of keys or values of one head, one a position from 0 on.
struct HeadRows {
  const float* first = nullptr;
  std::size_t stride = 0;  ///< from one position to the next

  std::span<const float> at(std::size_t position, std::size_t width) const {
    return {first + position * stride, width};
  }
};

/// out = softmax(scores) values over what the query at `position` sees: [head_dim of a value]. `sink`: of the
/// head, where AttentionSpec::sinks. Returns the weight of position 0.
float attend(const AttentionSpec& spec, float sink, std::size_t position, std::span<const float> q,
             const HeadRows& keys, const HeadRows& values, std::span<float> out);

/// Queries of latent attention [tokens, heads * query_dim], what turns last, not yet turned.
struct LatentQueries {
  Rows latent;  ///< [tokens, q_rank] normed; none where there is no such latent
  Rows q;
};
LatentQueries latent_queries(const LayerSpec& spec, const LayerWeights& weights, const Rows& x);

/// What the cache keeps of a token: [tokens, what turns, rank], not yet turned, the latent normed.
Rows latent_cache_rows(const LayerSpec& spec, const LayerWeights& weights, const Rows& x);

/// Keys and values of all heads of `positions` rows of the cache: [positions, heads * (nope_dim +
/// value_dim)], as kv_b_proj gives them.
Rows expand_latents(const LayerSpec& spec, const LayerWeights& weights, std::span<const float> cached);

}  // namespace expertscope::cpu
