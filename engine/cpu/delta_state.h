// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/memory.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"

namespace expertscope::cpu {

/// What the DeltaNets of a model keep of every sequence, in f32 whatever the mode, and the weights of their
/// convolutions as Kernels::convolve takes them. Empty where a model has none.
class DeltaStates {
 public:
  /// Bytes of all of it.
  static CheckedSize bytes(const ModelConfig& config, const BackendOptions& options);
  [[nodiscard]] bool allocate(const ModelConfig& config, const Weights& weights,
                              const BackendOptions& options);

  /// [value_heads][key_dim][value_dim]
  float* state(int sequence, int layer) { return of(sequence, layer); }
  /// [taps - 1][channels] the last inputs of the convolution, the oldest first.
  float* inputs(int sequence, int layer) { return of(sequence, layer) + layers_[index(layer)].states; }
  /// [taps][channels]
  const float* taps(int layer) const { return taps_.data() + layers_[index(layer)].taps; }
  /// Makes both of a sequence 0, as before its first token.
  void clear(int sequence, int layer);

 private:
  struct Layer {
    std::int64_t first = 0;   ///< floats of a sequence in the layers before
    std::int64_t states = 0;  ///< floats of all heads
    std::int64_t inputs = 0;  ///< floats behind them
    std::int64_t taps = 0;    ///< place in taps_
  };
  static std::size_t index(int layer) { return static_cast<std::size_t>(layer); }
  float* of(int sequence, int layer) {
    return memory_.data() + sequence * width_ + layers_[index(layer)].first;
  }

  std::vector<Layer> layers_;
  std::int64_t width_ = 0;  ///< floats of a sequence
  Buffer<float> memory_;
  Buffer<float> taps_;
};

}  // namespace expertscope::cpu
