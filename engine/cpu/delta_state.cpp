// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/delta_state.h"

#include <algorithm>

namespace expertscope::cpu {
namespace {

std::int64_t tap_floats(const DeltaNetSpec& spec) {
  return std::int64_t{spec.channels()} * spec.taps;
}

/// [channels][taps] of the file to [taps][channels].
void turn_taps(const DeltaNetSpec& spec, const Vector& from, float* to) {
  const std::int64_t channels = spec.channels();
  for (std::int64_t channel = 0; channel < channels; ++channel)
    for (std::int64_t tap = 0; tap < spec.taps; ++tap)
      to[tap * channels + channel] = from[static_cast<std::size_t>(channel * spec.taps + tap)];
}

}  // namespace

CheckedSize DeltaStates::bytes(const ModelConfig& config, const BackendOptions& options) {
  CheckedSize each(0);
  CheckedSize taps(0);
  for (const LayerSpec& layer : config.layers) {
    each = each + CheckedSize(layer.delta_net.states()) + CheckedSize(layer.delta_net.inputs());
    taps = taps + CheckedSize(tap_floats(layer.delta_net));
  }
  return (each * CheckedSize(options.max_sequences) + taps) * CheckedSize(sizeof(float));
}

bool DeltaStates::allocate(const ModelConfig& config, const Weights& weights, const BackendOptions& options) {
  layers_.clear();
  width_ = 0;
  std::int64_t taps = 0;
  for (const LayerSpec& layer : config.layers) {
    const DeltaNetSpec& spec = layer.delta_net;
    layers_.push_back({width_, spec.states(), spec.inputs(), taps});
    width_ += spec.states() + spec.inputs();
    taps += tap_floats(spec);
  }
  if (width_ == 0) return true;
  if (!memory_.allocate((CheckedSize(width_) * CheckedSize(options.max_sequences)).value()) ||
      !taps_.allocate(static_cast<std::size_t>(taps)))
    return false;
  for (std::size_t n = 0; n < layers_.size(); ++n)
    if (layers_[n].states > 0)
      turn_taps(config.layers[n].delta_net, weights.layers[n].delta_conv, taps_.data() + layers_[n].taps);
  return true;
}

void DeltaStates::clear(int sequence, int layer) {
  const Layer& own = layers_[index(layer)];
  std::fill_n(of(sequence, layer), own.states + own.inputs, 0.0f);
}

}  // namespace expertscope::cpu
