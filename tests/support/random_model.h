// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/formats/weight_format.h"
#include "engine/model/config.h"
#include "engine/model/model.h"
#include "tests/support/model_shape.h"

namespace expertscope::testing {

/// A Qwen3-MoE configuration small enough for tests: two layers of eight experts, top-2, hidden 64.
ModelShape tiny_config();

/// The shape of OLMoE-1B-7B with an eighth of its layers and vocabulary: 2 layers of 64 experts, top-8,
/// hidden 2048, moe_intermediate 1024, 16 heads of 128. About 1.7 GB in BF16, 295 MB of them read per token.
ModelShape olmoe_eighth_config();

/// A model of any family in memory with random weights of a scale that keeps the residual stream near 1, its
/// experts in a format of their own where one is given. The same seed gives the same weights. Null: no
/// memory.
std::shared_ptr<const Model> random_model(const ModelConfig& config, FormatId format, std::uint64_t seed = 1,
                                          std::optional<FormatId> experts = std::nullopt);

/// Bytes of weights that one decoded token reads, top_k experts of a layer among them.
std::int64_t bytes_per_token(const Model& model);
/// Multiply-adds of the matrix products of one token times two, attention scores left out, without the head.
std::int64_t flops_per_token(const Model& model);

}  // namespace expertscope::testing
