// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <new>
#include <string>

#include "engine/cpu/forward.h"
#include "engine/cpu/memory.h"
#include "engine/model/backend.h"
#include "engine/model/model.h"

namespace expertscope {
namespace cpu {
namespace {

bool all_finite(const float* values, std::int64_t count) {
  // x * 0 is 0 for every finite x and NaN for the others; sums in lanes, so that the loop vectorises.
  float lanes[16] = {};
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int j = 0; j < 16; ++j)
      lanes[j] += values[i + j] * 0.0f;
  }
  for (; i < count; ++i)
    lanes[0] += values[i] * 0.0f;
  for (int j = 1; j < 16; ++j)
    lanes[0] += lanes[j];
  return lanes[0] == 0.0f;
}

Status check_options(const BackendOptions& options) {
  if (options.threads < 0 || options.threads > ThreadPool::kMaxThreads) {
    return fail(ErrorCode::invalid_argument, "{} threads are not possible, at most {} are", options.threads,
                ThreadPool::kMaxThreads);
  }
  if (options.max_sequences < 1 || options.max_context < 1 || options.max_batch < 1) {
    return fail(
        ErrorCode::invalid_argument,
        "at least one sequence, one token of context and one token per step are needed, not {}, {} and {}",
        options.max_sequences, options.max_context, options.max_batch);
  }
  return {};
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(std::shared_ptr<const Model> model, const BackendOptions& options, CpuLevel level)
      : model_(std::move(model)), options_(options), kernels_(kernels_for(level)), pool_(options.threads) {}

  Status allocate();
  std::string description() const override;
  Status forward(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                 std::vector<float>& logits, CaptureBlock* capture) override;
  void set_observer(TensorObserver* observer) override { observer_ = observer; }

 private:
  Status check_batch(const Batch& batch) const;
  Status check_table(const RoutingTable& table) const;
  void prepare_capture(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                       CaptureBlock& block) const;
  void run_layer(ForwardContext& context, int layer, int moe_layer);
  void observe(const char* name, int layer, const float* values, std::int64_t rows,
               std::int64_t columns) const;
  Status find_non_finite(ForwardContext& context);

  std::shared_ptr<const Model> model_;
  BackendOptions options_;
  const Kernels& kernels_;
  ThreadPool pool_;
  Workspace work_;
  KvCache cache_;
  RopeTable rope_;
  TensorObserver* observer_ = nullptr;
};

Status CpuBackend::allocate() {
  const ModelConfig& config = model_->config();
  if (config.num_experts >= kNoExpert) {
    return fail(ErrorCode::unsupported, "{} experts per layer are more than this program records",
                config.num_experts);
  }
  const std::size_t cache = KvCache::bytes(config, options_).value();
  const CheckedSize rope = RopeTable::floats(config, options_.max_context) * CheckedSize(sizeof(float));
  const CheckedSize needed = KvCache::bytes(config, options_) + Workspace::bytes(config, options_) + rope;
  const std::size_t total = needed.value();
  const auto available = available_memory();
  const auto short_of_memory = [&]() -> Status {
    return fail(
        ErrorCode::out_of_memory,
        "{} are needed to run this model ({} of them for the KV cache of {} x {} tokens), {} are free; "
        "a shorter context needs less",
        format_bytes(total), format_bytes(cache), options_.max_sequences, options_.max_context,
        available ? format_bytes(*available) : "fewer");
  };
  if (available && total > *available) return short_of_memory();
  const bool done = cache_.allocate(config, options_) && work_.allocate(config, options_) &&
                    rope_.build(config, options_.max_context);
  if (!done) return short_of_memory();
  return {};
}

std::string CpuBackend::description() const {
  std::string level = cpu_level_name(kernels_.level);
  std::transform(level.begin(), level.end(), level.begin(), [](unsigned char c) { return std::toupper(c); });
  return fmt::format("CPU {} ({}, {} thread{})", options_.math == MathMode::bf16 ? "bf16" : "f32", level,
                     pool_.threads(), pool_.threads() == 1 ? "" : "s");
}

Status CpuBackend::check_batch(const Batch& batch) const {
  std::int64_t tokens = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    const bool fits = chunk.sequence >= 0 && chunk.sequence < options_.max_sequences && chunk.start >= 0 &&
                      chunk.count >= 1 && chunk.count <= options_.max_context - chunk.start;
    if (!fits) {
      return fail(ErrorCode::invalid_argument,
                  "a chunk of {} tokens at {} does not fit sequence {} of {} x {} tokens", chunk.count,
                  chunk.start, chunk.sequence, options_.max_sequences, options_.max_context);
    }
    tokens += chunk.count;
  }
  if (tokens < 1 || tokens > options_.max_batch || tokens != static_cast<std::int64_t>(batch.tokens.size())) {
    return fail(ErrorCode::invalid_argument, "a batch of {} tokens whose chunks have {}; at most {} fit",
                batch.tokens.size(), tokens, options_.max_batch);
  }
  for (const std::int32_t id : batch.tokens) {
    if (id < 0 || id >= model_->config().vocab_size) {
      return fail(ErrorCode::invalid_argument, "token id {} is outside the vocabulary of {}", id,
                  model_->config().vocab_size);
    }
  }
  return {};
}

Status CpuBackend::check_table(const RoutingTable& table) const {
  const ModelConfig& config = model_->config();
  bool fits = table.layers.size() == static_cast<std::size_t>(config.num_hidden_layers);
  for (int n = 0; fits && n < config.num_hidden_layers; ++n) {
    if (!config.is_moe(n)) continue;
    const LayerRouting& layer = table.layers[static_cast<std::size_t>(n)];
    fits = layer.remap.size() == static_cast<std::size_t>(config.num_experts) && layer.top_k >= 1 &&
           layer.top_k <= std::min(config.num_experts, table.max_top_k);
  }
  if (!fits) return fail(ErrorCode::mismatch, "the routing table was made for another model");
  return {};
}

void CpuBackend::prepare_capture(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                                 CaptureBlock& block) const {
  const ModelConfig& config = model_->config();
  const int tokens = static_cast<int>(batch.tokens.size());
  block.prepare(request, tokens, config.num_hidden_layers, config.num_moe_layers(), table.max_top_k,
                config.num_experts);
  std::size_t row = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    for (int t = 0; t < chunk.count; ++t, ++row) {
      block.token_id[row] = batch.tokens[row];
      block.position[row] = chunk.start + t;
      block.sequence[row] = chunk.sequence;
    }
  }
}

void CpuBackend::observe(const char* name, int layer, const float* values, std::int64_t rows,
                         std::int64_t columns) const {
  if (observer_ == nullptr) return;
  const std::span<const float> all(values, static_cast<std::size_t>(rows * columns));
  observer_->observe(name, layer, all, static_cast<int>(columns));
}

void CpuBackend::run_layer(ForwardContext& context, int layer, int moe_layer) {
  attention(context, layer);
  if (context.config.is_moe(layer)) {
    moe(context, layer, moe_layer);
  } else {
    dense_mlp(context, layer);
  }
}

Status CpuBackend::forward(const Batch& batch, const RoutingTable& table, const CaptureRequest& request,
                           std::vector<float>& logits, CaptureBlock* capture) {
  if (auto ok = check_batch(batch); !ok) return ok;
  if (auto ok = check_table(table); !ok) return ok;
  const ModelConfig& config = model_->config();
  const std::int64_t width = config.hidden_size;
  const auto tokens = static_cast<std::int64_t>(batch.tokens.size());
  const std::int64_t rows = head_rows(batch);
  try {
    logits.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(config.vocab_size));
    if (capture != nullptr) prepare_capture(batch, table, request, *capture);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "no memory for the logits and probes of {} tokens", tokens);
  }
  ForwardContext context{config,   model_->weights(),
                         kernels_, pool_,
                         work_,    cache_,
                         rope_,    options_.math == MathMode::bf16,
                         batch,    tokens,
                         table,    capture};
  embed(context);
  observe("embedding", -1, work_.hidden.data(), tokens, width);
  int moe_layer = 0;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    run_layer(context, layer, moe_layer);
    moe_layer += config.is_moe(layer) ? 1 : 0;
    observe("hidden", layer, work_.hidden.data(), tokens, width);
  }
  // Once a row of the residual stream is not finite it stays so: one look at the end is enough.
  if (!all_finite(work_.hidden.data(), tokens * width)) return find_non_finite(context);
  if (rows == 0) return {};
  head(context, logits.data());
  observe("norm", -1, work_.normed.data(), rows, width);
  if (!all_finite(logits.data(), static_cast<std::int64_t>(logits.size()))) {
    const Status weights = model_->check_finite_part(-1);
    return fail(ErrorCode::format, "the logits are not finite{}",
                weights ? "" : ": " + weights.error().message);
  }
  return {};
}

/// Runs the step again, layer by layer, and says where NaN or infinity came up first and which weight of that
/// layer holds one.
Status CpuBackend::find_non_finite(ForwardContext& context) {
  const std::int64_t values = context.tokens * context.config.hidden_size;
  const auto report = [&](const std::string& where, int layer) -> Status {
    const Status weights = model_->check_finite_part(layer);
    return fail(ErrorCode::format, "{}: NaN or infinity in the hidden state{}", where,
                weights ? "; the weights of this layer are finite" : ": " + weights.error().message);
  };
  context.capture = nullptr;
  embed(context);
  if (!all_finite(work_.hidden.data(), values)) return report("the embedding", -1);
  int moe_layer = 0;
  for (int layer = 0; layer < context.config.num_hidden_layers; ++layer) {
    run_layer(context, layer, moe_layer);
    moe_layer += context.config.is_moe(layer) ? 1 : 0;
    if (!all_finite(work_.hidden.data(), values)) return report(fmt::format("layer {}", layer), layer);
  }
  return fail(ErrorCode::format, "NaN or infinity in the hidden state");
}

}  // namespace
}  // namespace cpu

Result<std::unique_ptr<Backend>> make_cpu_backend(std::shared_ptr<const Model> model,
                                                  const BackendOptions& options) {
  if (auto ok = cpu::check_options(options); !ok) return forward_error(ok);
  auto backend = std::make_unique<cpu::CpuBackend>(std::move(model), options, cpu::choose_cpu_level());
  if (auto ok = backend->allocate(); !ok) return forward_error(ok);
  return backend;
}

}  // namespace expertscope
