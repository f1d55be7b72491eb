// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/rows.cuh"

namespace expertscope::cuda {

/// What all blocks know of one output together, by one warp.
struct OutputSum {
  float squares = 0;
  Peak peak;
};

__device__ inline OutputSum sum_parts(const RowPart* parts, int blocks) {
  OutputSum sum{0.0f, {0.0f, 0x7fffffff}};
  for (int b = lane_index(); b < blocks; b += kWarp) {
    sum.squares += parts[b].square_sum;
    const Peak now{parts[b].max_abs, parts[b].channel};
    if (beats(now, sum.peak)) sum.peak = now;
  }
  return {warp_sum(sum.squares), warp_peak(sum.peak)};
}

/// ||sum over the slots of a token||, by one warp.
__device__ inline float slots_norm(const LayerParts& layer, int token) {
  float squares = 0;
  for (int b = lane_index(); b < layer.output_blocks; b += kWarp)
    squares += layer.parts.sum[token * layer.output_blocks + b];
  return sqrtf(warp_sum(squares));
}

/// One slot by one warp. A silenced expert has norm and maximum 0 at channel 0, an empty slot channel -1.
__device__ inline void finish_output(const DeviceStep& step, const LayerParts& layer, int token, int slot) {
  const int index = token * step.slots + slot;
  const int expert = slot < layer.routing->top_k ? layer.slots.expert[index] : -1;
  const float scale = expert >= 0 ? fabsf(layer.routing->output_scale[expert]) : 0.0f;
  OutputSum sum{0.0f, {0.0f, expert >= 0 ? 0 : -1}};
  if (scale != 0.0f) {
    const RowPart* parts = layer.parts.output + static_cast<std::size_t>(index * layer.output_blocks);
    sum = sum_parts(parts, layer.output_blocks);
  }
  const bool shares = step.capture.contribution != nullptr;
  const float whole = shares ? slots_norm(layer, token) : 0.0f;
  if (lane_index() != 0) return;
  const std::size_t at = (static_cast<std::size_t>(layer.moe_layer) * static_cast<std::size_t>(step.tokens) +
                          static_cast<std::size_t>(token)) *
                             static_cast<std::size_t>(step.slots) +
                         static_cast<std::size_t>(slot);
  OutputProbe::routed(step.capture).store(at, sum.squares, sum.peak, scale);
  const bool adds = scale != 0.0f && whole > 0.0f;
  if (shares)
    step.capture.contribution[at] =
        adds ? fabsf(layer.slots.weight[index]) * scale * sqrtf(sum.squares) / whole : 0.0f;
}

/// The shared expert by one warp.
__device__ inline void finish_shared(const DeviceStep& step, const LayerParts& layer, int token) {
  const OutputSum sum =
      sum_parts(layer.shared + static_cast<std::size_t>(token * layer.output_blocks), layer.output_blocks);
  if (lane_index() != 0) return;
  const std::size_t at = static_cast<std::size_t>(layer.moe_layer) * static_cast<std::size_t>(step.tokens) +
                         static_cast<std::size_t>(token);
  OutputProbe::shared(step.capture).store(at, sum.squares, sum.peak, 1.0f);
}

/// The probe at the end of a layer where no kernel takes it on the way. Blocks: tokens.
__global__ void __launch_bounds__(kRowThreads)
    measure_hidden(const DeviceStep* step, const float* hidden, int width, int layer) {
  __shared__ Peak scratch[kRowThreads / kWarp];
  const int token = static_cast<int>(blockIdx.x);
  if (token >= step->tokens || step->capture.hidden_max == nullptr) return;
  const int at = layer * step->tokens + token;
  measure_row(hidden + static_cast<std::size_t>(token) * static_cast<std::size_t>(width), width, scratch,
              step->capture.hidden_max + at, step->capture.hidden_channel + at);
}

/// The end of a decode step: the parts of all layers become probe values. Blocks: (layers, tokens); nothing
/// here lies on the way to the next token, so it is one kernel a step and not a tail on every layer.
__global__ void finish_probes(const DeviceStep* step, const LayerParts* layers) {
  const int layer_index = static_cast<int>(blockIdx.x);
  const int token = static_cast<int>(blockIdx.y);
  if (token >= step->tokens) return;
  const LayerParts& layer = layers[layer_index];
  const DeviceCapture& capture = step->capture;
  const int at = layer_index * step->tokens + token;
  const bool outputs = capture.output_norm != nullptr || capture.contribution != nullptr;
  if (outputs && layer.routing != nullptr) {
    for (int slot = warp_index(); slot < step->slots; slot += warps_per_block())
      finish_output(*step, layer, token, slot);
    if (layer.shared != nullptr && warp_index() == warps_per_block() - 1) finish_shared(*step, layer, token);
  }
  if (warp_index() != 0) return;
  if (capture.hidden_max != nullptr) {
    Peak peak{0.0f, 0x7fffffff};
    for (int b = lane_index(); b < layer.hidden_blocks; b += kWarp) {
      const RowPart part = layer.parts.hidden[token * layer.hidden_blocks + b];
      const Peak now{part.max_abs, part.channel};
      if (beats(now, peak)) peak = now;
    }
    peak = warp_peak(peak);
    if (lane_index() == 0) {
      capture.hidden_max[at] = peak.value;
      capture.hidden_channel[at] = peak.channel;
    }
  }
  if (capture.first_token_attention != nullptr && lane_index() == 0) {
    float sum = 0;
    const int heads = layer.heads;
    for (int h = 0; h < heads; ++h)
      sum += layer.first_token[token * heads + h];
    capture.first_token_attention[at] = sum / static_cast<float>(heads);
  }
}

}  // namespace expertscope::cuda
