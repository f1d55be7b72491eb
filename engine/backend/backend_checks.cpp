// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/backend_checks.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "engine/backend/candidates.h"
#include "engine/backend/log_prob.h"
#include "engine/model/finite.h"
#include "engine/model/model.h"

namespace expertscope {
namespace {

const char* name_of(MixerKind kind) {
  switch (kind) {
    case MixerKind::attention:
      return "attention";
    case MixerKind::linear_attention:
      return "linear attention (DeltaNet)";
    case MixerKind::state_space:
      return "a state space (Mamba)";
    case MixerKind::short_convolution:
      return "a short convolution";
  }
  return "unknown";
}

Status check_mixers(const ModelConfig& config) {
  for (int n = 0; n < config.num_layers(); ++n) {
    const MixerKind mixer = config.layer(n).mixer;
    if (mixer == MixerKind::attention || mixer == MixerKind::linear_attention) continue;
    return fail(ErrorCode::unsupported, "layer {} of this model is {}, which no backend runs", n,
                name_of(mixer));
  }
  return {};
}

Status check_ids(const Batch& batch, int vocab_size) {
  for (const std::int32_t id : batch.tokens) {
    if (id < 0 || id >= vocab_size) {
      return fail(ErrorCode::invalid_argument, "token id {} is outside the vocabulary of {}", id, vocab_size);
    }
  }
  return {};
}

Status check_wanted(const Batch& batch, int vocab_size) {
  if (batch.logits == LogitsWanted::candidates && batch.candidates < 1) {
    return fail(ErrorCode::invalid_argument, "at least one candidate is needed, not {}", batch.candidates);
  }
  if (batch.logits != LogitsWanted::log_probs) return {};
  if (batch.targets.size() != batch.tokens.size()) {
    return fail(ErrorCode::invalid_argument, "{} targets for {} tokens", batch.targets.size(),
                batch.tokens.size());
  }
  for (const std::int32_t id : batch.targets) {
    if (id < -1 || id >= vocab_size) {
      return fail(ErrorCode::invalid_argument, "target id {} is outside the vocabulary of {}", id,
                  vocab_size);
    }
  }
  return {};
}

}  // namespace

Status check_backend_options(const BackendOptions& options, const ModelConfig& config) {
  if (options.max_sequences < 1 || options.max_context < 1 || options.max_batch < 1) {
    return fail(
        ErrorCode::invalid_argument,
        "at least one sequence, one token of context and one token per step are needed, not {}, {} and {}",
        options.max_sequences, options.max_context, options.max_batch);
  }
  if (config.num_experts() >= kNoExpert) {
    return fail(ErrorCode::unsupported, "{} experts per layer are more than this program records",
                config.num_experts());
  }
  return check_mixers(config);
}

Status check_batch(const Batch& batch, const BackendOptions& options, const ModelConfig& config) {
  std::int64_t tokens = 0;
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(std::max(options.max_sequences, 0)));
  for (const SequenceChunk& chunk : batch.chunks) {
    const bool fits = chunk.sequence >= 0 && chunk.sequence < options.max_sequences && chunk.start >= 0 &&
                      chunk.count >= 1 && chunk.count <= options.max_context - chunk.start;
    if (!fits) {
      return fail(ErrorCode::invalid_argument,
                  "a chunk of {} tokens at {} does not fit sequence {} of {} x {} tokens", chunk.count,
                  chunk.start, chunk.sequence, options.max_sequences, options.max_context);
    }
    if (std::exchange(seen[chunk.sequence], std::uint8_t{1}) != 0)
      return fail(ErrorCode::invalid_argument, "sequence {} is twice in one batch", chunk.sequence);
    tokens += chunk.count;
  }
  if (tokens < 1 || tokens > options.max_batch || tokens != static_cast<std::int64_t>(batch.tokens.size())) {
    return fail(ErrorCode::invalid_argument, "a batch of {} tokens whose chunks have {}; at most {} fit",
                batch.tokens.size(), tokens, options.max_batch);
  }
  if (auto ok = check_ids(batch, config.vocab_size); !ok) return ok;
  return check_wanted(batch, config.vocab_size);
}

Status check_table(const RoutingTable* table, const ModelConfig& config) {
  bool fits = table != nullptr && table->layers.size() == static_cast<std::size_t>(config.num_layers());
  for (int n = 0; fits && n < config.num_layers(); ++n) {
    if (!config.is_moe(n)) continue;
    const LayerRouting& layer = table->layers[n];
    fits = layer.model == config.layer(n).router &&
           layer.remap.size() == static_cast<std::size_t>(config.layer(n).router.experts) &&
           layer.top_k >= 1 && layer.top_k <= std::min(config.layer(n).router.experts, table->max_top_k);
  }
  if (!fits) return fail(ErrorCode::mismatch, "the routing table was made for another model");
  return {};
}

int head_rows(const Batch& batch) {
  switch (batch.logits) {
    case LogitsWanted::none:
      return 0;
    case LogitsWanted::last_of_each_chunk:
    case LogitsWanted::candidates:
      return static_cast<int>(batch.chunks.size());
    case LogitsWanted::all:
      return static_cast<int>(batch.tokens.size());
    case LogitsWanted::log_probs:
      return static_cast<int>(std::count_if(batch.targets.begin(), batch.targets.end(),
                                            [](std::int32_t target) { return target >= 0; }));
  }
  return 0;
}

void list_head_tokens(const Batch& batch, std::vector<std::int32_t>& tokens) {
  tokens.clear();
  const bool last = batch.logits == LogitsWanted::last_of_each_chunk;
  if (last || batch.logits == LogitsWanted::candidates) {
    std::int32_t end = 0;
    for (const SequenceChunk& chunk : batch.chunks) {
      end += chunk.count;
      tokens.push_back(end - 1);
    }
    return;
  }
  if (batch.logits == LogitsWanted::none) return;
  for (std::size_t t = 0; t < batch.tokens.size(); ++t)
    if (batch.logits == LogitsWanted::all || batch.targets[t] >= 0)
      tokens.push_back(static_cast<std::int32_t>(t));
}

void prepare_output(const Batch& batch, const ModelConfig& config, StepOutput& output) {
  const bool logits = batch.logits == LogitsWanted::all || batch.logits == LogitsWanted::last_of_each_chunk;
  const auto rows = static_cast<std::size_t>(logits ? head_rows(batch) : 0);
  output.logits.resize(rows * static_cast<std::size_t>(config.vocab_size));
  output.log_probs.assign(batch.logits == LogitsWanted::log_probs ? batch.tokens.size() : 0,
                          std::numeric_limits<float>::quiet_NaN());
  output.candidates.resize(batch.logits == LogitsWanted::candidates ? batch.chunks.size() : 0);
}

void take_logits(const Batch& batch, std::span<const std::int32_t> tokens, std::size_t first,
                 std::span<const float> logits, StepOutput& output) {
  if (tokens.empty()) return;
  const std::size_t vocab = logits.size() / tokens.size();
  for (std::size_t r = 0; r < tokens.size(); ++r) {
    const std::span<const float> row = logits.subspan(r * vocab, vocab);
    const auto token = static_cast<std::size_t>(tokens[r]);
    if (batch.logits == LogitsWanted::log_probs)
      output.log_probs[token] = static_cast<float>(log_probability(row, batch.targets[token]));
    else if (batch.logits == LogitsWanted::candidates)
      select_candidates(row, batch.candidates, output.candidates[first + r]);
    else
      std::copy(row.begin(), row.end(),
                output.logits.begin() + static_cast<std::ptrdiff_t>((first + r) * vocab));
  }
}

tl::unexpected<Error> not_finite(const Model& model, const std::string& where, int layer) {
  const Status weights = check_finite_weights(model.weights(), layer);
  const ModelIdentity& identity = model.identity();
  if (!weights)
    return fail(ErrorCode::format, "{}: {}: {}", where, identity.path.empty() ? identity.name : identity.path,
                weights.error().message);
  return fail(ErrorCode::format, "{}{}", where, layer < 0 ? "" : "; the weights of this layer are finite");
}

namespace {

/// In layers that are no attention nothing attends to the first token.
void unset_attention(const ModelConfig& config, CaptureBlock& block) {
  if (block.first_token_attention.empty()) return;
  for (int n = 0; n < config.num_layers(); ++n)
    if (config.layer(n).mixer != MixerKind::attention)
      std::fill_n(block.first_token_attention.begin() + std::ptrdiff_t{n} * block.tokens, block.tokens,
                  std::numeric_limits<float>::quiet_NaN());
}

}  // namespace

void prepare_capture(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                     const ModelConfig& config, CaptureBlock& block) {
  const int tokens = static_cast<int>(batch.tokens.size());
  block.prepare(request, {.tokens = tokens,
                          .layers = config.num_layers(),
                          .moe_layers = config.num_moe_layers(),
                          .slots = table.max_top_k,
                          .experts = config.num_experts(),
                          .shared = config.has_shared_expert()});
  unset_attention(config, block);
  std::size_t row = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    for (int t = 0; t < chunk.count; ++t, ++row) {
      block.token_id[row] = batch.tokens[row];
      block.position[row] = chunk.start + t;
      block.sequence[row] = chunk.sequence;
    }
  }
}

void unset_absent(const ModelConfig& config, CaptureBlock& block) {
  unset_attention(config, block);
  int moe_layer = 0;
  for (int n = 0; n < config.num_layers(); ++n) {
    if (!config.is_moe(n)) continue;
    const LayerSpec& layer = config.layer(n);
    const auto unset = [&]<class T>(const ProbeColumn& column, std::vector<T>& values) {
      const auto width = static_cast<std::size_t>(block.width(column.granularity));
      std::size_t has = width;
      if (column.granularity == Granularity::shared) has = layer.shared.width > 0 ? 1 : 0;
      if (column.granularity == Granularity::expert) has = static_cast<std::size_t>(layer.router.experts);
      if (values.empty() || has >= width) return;
      for (int token = 0; token < block.tokens; ++token)
        std::fill_n(values.data() + block.moe_row(moe_layer, token) * width + has, width - has,
                    CaptureBlock::unset<T>(column.kind));
    };
    for_each_column(unset, block);
    ++moe_layer;
  }
}

}  // namespace expertscope
