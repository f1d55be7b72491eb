// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/capture.h"
#include "engine/backend/routing_table.h"
#include "engine/error.h"
#include "engine/model/config.h"

/// What every backend checks alike before it computes, so that all refuse the same things in the same words.
namespace expertscope {

/// At least one sequence, token of context and token per step, no more experts than a trace can number, and
/// in every layer a mixer that some backend runs.
Status check_backend_options(const BackendOptions& options, const ModelConfig& config);

/// Every chunk fits its sequence and the batch fits a step; ids are in the vocabulary; what the wanted output
/// needs (targets, the number of candidates) is there and makes sense.
Status check_batch(const Batch& batch, const BackendOptions& options, const ModelConfig& config);

/// The table was made for this model.
Status check_table(const RoutingTable* table, const ModelConfig& config);

/// Rows of the batch whose logits are computed.
int head_rows(const Batch& batch);

/// Which they are: indices of tokens of the batch, head_rows(batch) of them.
void list_head_tokens(const Batch& batch, std::vector<std::int32_t>& tokens);

/// Sizes the array of `output` that the batch asks for and empties the others. log_probs are NaN.
void prepare_output(const Batch& batch, const ModelConfig& config, StepOutput& output);

/// Puts what the batch asks for into `output`, which was prepared: `logits` are those of `tokens`, rows
/// first .. of list_head_tokens().
void take_logits(const Batch& batch, std::span<const std::int32_t> tokens, std::size_t first,
                 std::span<const float> logits, StepOutput& output);

/// The error of a step with NaN or infinity: where it came up, and which weight of that layer (-1: of
/// embedding, final norm and lm_head) holds one, or that none does.
tl::unexpected<Error> not_finite(const Model& model, const std::string& where, int layer);

/// Sizes the block for the batch and fills token_id, position and sequence.
void prepare_capture(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                     const ModelConfig& config, CaptureBlock& block);

/// Unsets what a layer does not have but a block has room for, where a backend has written over it: the
/// shared expert, and the logits of experts behind its own.
void unset_absent(const ModelConfig& config, CaptureBlock& block);

}  // namespace expertscope
