// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

/// One MoE layer of one step: the operations below share it.
struct MoeLayer {
  ForwardContext& context;
  const LayerSpec& spec;
  const LayerWeights& weights;
  const LayerRouting& routing;
  RouterRule rule;
  int layer = 0;      ///< decoder layer
  int moe_layer = 0;  ///< counting MoE layers only: the index of capture blocks

  Workspace& work() const { return context.work; }
  std::span<RoutedSlot> slots(std::int64_t token) const {
    return {work().slots.data() + token * routing.top_k, static_cast<std::size_t>(routing.top_k)};
  }
  std::size_t capture_index(std::int64_t token) const {
    return static_cast<std::size_t>(moe_layer * context.tokens + token);
  }
};

void capture_routing(const MoeLayer& moe, std::int64_t token, std::span<const float> logits) {
  CaptureBlock* block = moe.context.capture;
  if (block == nullptr) return;
  const std::size_t at = moe.capture_index(token);
  const auto slots = moe.slots(token);
  const std::size_t first = at * static_cast<std::size_t>(block->slots);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const std::int32_t expert = slots[s].expert;
    if (!block->expert.empty()) {
      block->expert[first + s] = expert < 0 ? kNoExpert : static_cast<std::uint16_t>(expert);
    }
    if (!block->request.routing) continue;
    block->probability[first + s] = slots[s].score;
    block->weight[first + s] = slots[s].weight;
  }
  if (block->request.entropy) block->entropy[at] = router_entropy(moe.rule.model.score, logits);
  if (block->request.router_logits) {
    std::copy(logits.begin(), logits.end(),
              block->router_logits.begin() +
                  static_cast<std::ptrdiff_t>(at * static_cast<std::size_t>(block->experts)));
  }
}

/// Slots of tokens [begin, end), whose router logits are there but for their bias.
void choose_experts(const MoeLayer& moe, std::int64_t begin, std::int64_t end) {
  const auto experts = static_cast<std::size_t>(moe.spec.router.experts);
  for (std::int64_t t = begin; t < end; ++t) {
    const auto row = static_cast<std::size_t>(t) * experts;
    add_bias(moe.context, moe.weights.router_bias, moe.work().router_logits.data() + row);
    const std::span<const float> logits(moe.work().router_logits.data() + row, experts);
    const std::span<float> scratch(moe.work().probabilities.data() + row, experts);
    route(logits, moe.rule, scratch, moe.slots(t));
    capture_routing(moe, t, logits);
  }
}

/// The router sees tokens [begin, end), `begin` a multiple of kPackRows. In f32 whatever the mode: a product
/// this small decides everything after it.
void route_block(const MoeLayer& moe, std::int64_t begin, std::int64_t end) {
  const ForwardContext& context = moe.context;
  const std::int64_t width = context.config.hidden_size;
  const std::int64_t experts = moe.spec.router.experts;
  const ActivationRows rows{moe.work().normed.data() + begin * width, width, nullptr, end - begin, width};
  const auto packed = plan_activations(context.kernels, Arithmetic::f32, rows.rows, width,
                                       moe.work().packed.data() + packed_bytes(begin, width));
  context.kernels.pack(rows, packed, 0, rows.rows);
  context.kernels.matmul(moe.weights.router, packed, 0, experts,
                         moe.work().router_logits.data() + begin * experts, experts);
  choose_experts(moe, begin, end);
}

/// The router has few rows. Many tokens are shared out by tokens, a few by rows like any other product.
void route_tokens(const MoeLayer& moe) {
  constexpr std::int64_t kBlock = 2 * kPackRows;
  ForwardContext& context = moe.context;
  const std::int64_t tokens = context.tokens;
  if (tokens > kBlock) {
    const std::int64_t blocks = (tokens + kBlock - 1) / kBlock;
    for_ranges(context.pool, blocks, 1, kBlock * moe.weights.router.rows * moe.weights.router.cols,
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t b = first; b < last; ++b) {
                   route_block(moe, b * kBlock, std::min(tokens, (b + 1) * kBlock));
                 }
               });
    return;
  }
  const auto input =
      pack_rows(context, moe.work().normed.data(), tokens, context.config.hidden_size, Arithmetic::f32);
  moe.work().products.clear();
  moe.work().products.add(moe.weights.router, input, moe.work().router_logits.data(),
                          moe.spec.router.experts);
  moe.work().products.run(context.kernels, context.pool);
  choose_experts(moe, 0, tokens);
}

/// True when the slot's expert has to be computed; a silenced one (output_scale 0) need not be.
bool runs(const MoeLayer& moe, const RoutedSlot& slot) {
  return slot.expert >= 0 && moe.routing.output_scale[slot.expert] != 0.0f;
}

/// Counting sort of the slots of tokens [t0, t1) by expert: one ExpertRun of consecutive rows per expert.
void sort_by_expert(const MoeLayer& moe, std::int64_t t0, std::int64_t t1) {
  Workspace& work = moe.work();
  std::fill(work.next_row.data(), work.next_row.data() + work.next_row.size(), 0);
  for (std::int64_t t = t0; t < t1; ++t) {
    for (const RoutedSlot& slot : moe.slots(t)) {
      if (runs(moe, slot)) ++work.next_row[slot.expert];
    }
  }
  work.runs.clear();
  std::int64_t first = 0;
  for (std::size_t e = 0; e < work.next_row.size(); ++e) {
    const std::int64_t rows = work.next_row[e];
    work.next_row[e] = first;
    if (rows > 0) work.runs.push_back({static_cast<int>(e), first, rows, {}, {}});
    first += rows;
  }
  for (std::int64_t t = t0; t < t1; ++t) {
    const auto slots = moe.slots(t);
    for (std::size_t s = 0; s < slots.size(); ++s) {
      std::int32_t& row = work.row_of_slot[static_cast<std::size_t>(t) * slots.size() + s];
      row = -1;
      if (!runs(moe, slots[s])) continue;
      row = static_cast<std::int32_t>(work.next_row[slots[s].expert]++);
      work.token_of_row[row] = static_cast<std::int32_t>(t);
    }
  }
}

/// Where each run's packed rows lie, and the blocks of rows the threads share.
void plan_runs(const MoeLayer& moe) {
  const ForwardContext& context = moe.context;
  Workspace& work = moe.work();
  std::uint8_t* input = work.expert_input.data();
  std::uint8_t* inner = work.expert_inner.data();
  work.row_blocks.clear();
  for (std::size_t r = 0; r < work.runs.size(); ++r) {
    ExpertRun& run = work.runs[r];
    const MlpWeights& expert = moe.weights.experts[run.expert];
    run.input =
        plan_activations(context.kernels, shared_arithmetic(context, {&expert.gate_proj, &expert.up_proj}),
                         run.rows, expert.gate_proj.cols, input);
    run.inner = plan_activations(context.kernels, shared_arithmetic(context, {&expert.down_proj}), run.rows,
                                 expert.down_proj.cols, inner);
    input += packed_bytes(run.rows, expert.gate_proj.cols);
    inner += packed_bytes(run.rows, expert.down_proj.cols);
    for (std::int64_t begin = 0; begin < run.rows; begin += kPackRows) {
      work.row_blocks.push_back({static_cast<int>(r), begin, std::min(begin + kPackRows, run.rows)});
    }
  }
}

/// fn(run, block) for all blocks of rows of all runs.
template <class Fn>
void for_row_blocks(const MoeLayer& moe, std::int64_t cols, Fn&& fn) {
  const Workspace& work = moe.work();
  const auto blocks = static_cast<std::int64_t>(work.row_blocks.size());
  for_ranges(moe.context.pool, blocks, 2, cols * work.row_blocks.front().end,
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t b = begin; b < end; ++b) {
                 const RowBlock& block = work.row_blocks[b];
                 fn(work.runs[block.run], block);
               }
             });
}

/// inner = what down_proj takes, of a block of rows whose products with gate_proj and up_proj are there.
void activate(const MoeLayer& moe, const ExpertRun& run, const RowBlock& block) {
  const ForwardContext& context = moe.context;
  Workspace& work = moe.work();
  const std::int64_t inner = moe.spec.expert.width;
  const MlpWeights& expert = moe.weights.experts[run.expert];
  for (std::int64_t row = run.first + block.begin; row < run.first + block.end; ++row) {
    add_bias(context, expert.gate_bias, work.gate.data() + row * inner);
    add_bias(context, expert.up_bias, work.up.data() + row * inner);
  }
  const std::int64_t first = (run.first + block.begin) * inner;
  float* gate = work.gate.data() + first;
  context.kernels.swiglu(moe.spec.expert, gate, work.up.data() + first, (block.end - block.begin) * inner,
                         gate);
  const ActivationRows rows{work.gate.data() + run.first * inner, inner, nullptr, run.rows, inner};
  context.kernels.pack(rows, run.inner, block.begin, block.end);
}

/// The expert (MlpSpec) of every run, into work.expert_output.
void run_experts(const MoeLayer& moe) {
  ForwardContext& context = moe.context;
  Workspace& work = moe.work();
  const std::int64_t width = context.config.hidden_size;
  const std::int64_t inner = moe.spec.expert.width;
  for_row_blocks(moe, width, [&](const ExpertRun& run, const RowBlock& block) {
    const ActivationRows rows{work.normed.data(), width, work.token_of_row.data() + run.first, run.rows,
                              width};
    context.kernels.pack(rows, run.input, block.begin, block.end);
  });
  work.products.clear();
  for (const ExpertRun& run : work.runs) {
    const MlpWeights& expert = moe.weights.experts[run.expert];
    work.products.add(expert.gate_proj, run.input, work.gate.data() + run.first * inner, inner);
    work.products.add(expert.up_proj, run.input, work.up.data() + run.first * inner, inner);
  }
  work.products.run(context.kernels, context.pool);
  for_row_blocks(moe, inner, [&](const ExpertRun& run, const RowBlock& block) { activate(moe, run, block); });
  work.products.clear();
  for (const ExpertRun& run : work.runs) {
    const MlpWeights& expert = moe.weights.experts[run.expert];
    work.products.add(expert.down_proj, run.inner, work.expert_output.data() + run.first * width, width);
  }
  work.products.run(context.kernels, context.pool);
  if (!moe.spec.expert.biases) return;
  for_row_blocks(moe, width, [&](const ExpertRun& run, const RowBlock& block) {
    for (std::int64_t row = run.first + block.begin; row < run.first + block.end; ++row)
      add_bias(context, moe.weights.experts[run.expert].down_bias, work.expert_output.data() + row * width);
  });
}

/// ||f_e||, max |f_e| and its channel, where the output is read for the sum anyway.
void capture_output(const MoeLayer& moe, std::size_t slot_index, const float* output, float scale) {
  CaptureBlock& block = *moe.context.capture;
  const RowStats stats = moe.context.kernels.row_stats(output, moe.context.config.hidden_size);
  block.output_norm[slot_index] = stats.norm * std::abs(scale);
  block.output_max[slot_index] = stats.max_abs * std::abs(scale);
  block.output_channel[slot_index] = stats.channel;
}

/// ||sum of weight * f_e|| of a token, piece by piece: the sum itself goes into the hidden state.
float routed_norm(const MoeLayer& moe, std::int64_t token) {
  constexpr std::int64_t kPiece = 256;
  const std::int64_t width = moe.context.config.hidden_size;
  const auto slots = moe.slots(token);
  double squares = 0;
  for (std::int64_t first = 0; first < width; first += kPiece) {
    const std::int64_t count = std::min(kPiece, width - first);
    std::array<float, kPiece> sum{};
    for (std::size_t s = 0; s < slots.size(); ++s) {
      const std::int32_t row = moe.work().row_of_slot[static_cast<std::size_t>(token) * slots.size() + s];
      if (slots[s].expert < 0 || row < 0) continue;
      const float scale = moe.routing.output_scale[slots[s].expert];
      moe.context.kernels.axpy(slots[s].weight * scale, moe.work().expert_output.data() + row * width + first,
                               count, sum.data());
    }
    const double norm = moe.context.kernels.row_stats(sum.data(), count).norm;
    squares += norm * norm;
  }
  return static_cast<float>(std::sqrt(squares));
}

/// mlp_sum += sum of weight * f_e in the order of the slots: the same sum whatever the number of threads.
void combine(const MoeLayer& moe, std::int64_t token) {
  ForwardContext& context = moe.context;
  Workspace& work = moe.work();
  const std::int64_t width = context.config.hidden_size;
  float* const sum = mlp_sum(context, moe.layer);
  const auto slots = moe.slots(token);
  const CaptureRequest probes = context.capture != nullptr ? context.capture->request : CaptureRequest{};
  const bool outputs = probes.expert_output;
  const float whole = probes.contribution ? routed_norm(moe, token) : 0.0f;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].expert < 0) continue;
    const std::size_t at = probes.any() ? context.capture->slot_index(moe.moe_layer, static_cast<int>(token),
                                                                      static_cast<int>(s))
                                        : 0;
    const std::int32_t row = work.row_of_slot[static_cast<std::size_t>(token) * slots.size() + s];
    if (row < 0) {
      if (outputs) context.capture->output_channel[at] = 0;  // silent: norm and maximum are 0
      continue;
    }
    const float* output = work.expert_output.data() + row * width;
    const float scale = moe.routing.output_scale[slots[s].expert];
    if (outputs) capture_output(moe, at, output, scale);
    if (whole > 0)
      context.capture->contribution[at] =
          std::abs(slots[s].weight * scale) * context.kernels.row_stats(output, width).norm / whole;
    context.kernels.axpy(slots[s].weight * scale, output, width, sum + token * width);
  }
  if (moe.spec.shared.width == 0 && !sums_apart(moe.spec)) capture_hidden(context, moe.layer, token);
}

}  // namespace

void moe(ForwardContext& context, int layer, int moe_layer) {
  const LayerWeights& weights = context.weights.layers[layer];
  const LayerRouting& routing = context.table.layers[layer];
  const MoeLayer moe{.context = context,
                     .spec = context.config.layer(layer),
                     .weights = weights,
                     .routing = routing,
                     .rule = rule_of(routing, weights.correction_bias, weights.expert_scale),
                     .layer = layer,
                     .moe_layer = moe_layer};
  if (moe.spec.router.reads_residual) {
    norm_tokens(context, moe.spec.norm, weights.router_norm);
  } else {
    take_input(context, layer, weights.post_attention_layernorm);
  }
  route_tokens(moe);
  if (moe.spec.branch_norms) norm_tokens(context, moe.spec.norm, weights.expert_input_norm);
  const std::int64_t round = std::max<std::int64_t>(1, context.work.expert_rows / moe.routing.top_k);
  for (std::int64_t t0 = 0; t0 < context.tokens; t0 += round) {
    const std::int64_t t1 = std::min(t0 + round, context.tokens);
    sort_by_expert(moe, t0, t1);
    plan_runs(moe);
    if (!context.work.runs.empty()) run_experts(moe);
    const std::int64_t work_each = context.config.hidden_size * moe.routing.top_k;
    for_ranges(context.pool, t1 - t0, 8, work_each, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = t0 + begin; t < t0 + end; ++t)
        combine(moe, t);
    });
  }
}

}  // namespace expertscope::cpu
