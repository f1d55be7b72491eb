// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "engine/cuda/plain/delta_net.cuh"
#include "engine/cuda/plain/forward.h"
#include "engine/cuda/plain/kernels.cuh"
#include "engine/cuda/plain/launch.h"

namespace expertscope::cuda::plain {

/// One layer of one step.
class Layer {
 public:
  Layer(const Step& step, int index, int moe_layer)
      : step_(step),
        room_(step.room),
        queue_(step.queue),
        spec_(step.config.layer(index)),
        weights_(step.weights.layers[static_cast<std::size_t>(index)]),
        index_(index),
        tokens_(step.input.tokens),
        width_(step.config.hidden_size),
        moe_row_(static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(tokens_)) {}

  void run();

 private:
  using MlpNames = std::array<const char*, 4>;
  /// gate, up, inner and down of an MLP; no columns where there is no gate.
  struct Part {
    const char* name;
    const float* values;
    int columns;
  };
  /// Those of all slots: [tokens, slots, columns].
  using SeenSlots = std::array<std::vector<float>, 4>;
  DeltaRows delta_rows() const;
  void linear_attention(const float* x, float* y);
  void attention(const float* x, float* y);
  void latent_attention(const float* x, float* y);
  void latent_queries(const float* x);
  void latent_keys(const float* x);
  void attend_all();
  void mlps(const float* x, float* sum);
  void routed(const float* x, const float* router_input, float* sum);
  void mlp(const MlpSpec& spec, const StoredMlp& weights, const Choice& choice, const float* x);
  std::array<Part, 4> parts(const MlpNames& names, const MlpSpec& spec) const;
  void see(const MlpNames& names, const MlpSpec& spec) const;
  void take_slot(int slot, int slots, SeenSlots& seen) const;
  void see_slots(int slots, const SeenSlots& seen) const;
  void measure_slot(int slot, const Choice& choice);
  void measure_sum(const RoutedRows& rows, const float* sum);
  void measure_shared();
  void see(const char* name, const float* values, int columns) const {
    step_.see(name, index_, values, tokens_, columns);
  }
  std::size_t values(int columns) const { return size(tokens_, columns); }
  void product(const Matrices& w, const float* x, float* y, const Choice& choice = {}) {
    warps(queue_, &plain::product, values(w.rows), w, choice, x, y);
  }
  void norm(const StoredVector& weight, const StoredVector& bias, const float* x, float* y, int columns) {
    const std::size_t pieces = values(columns) / static_cast<std::size_t>(weight.size);
    warps(queue_, &plain::norm, pieces, spec_.norm, weight, bias, x, y);
  }
  void latent_norm(const StoredVector& weight, float* x, int columns) {
    NormSpec spec = spec_.norm;
    spec.eps = spec_.attention.latent.eps;
    warps(queue_, &plain::norm, values(columns) / static_cast<std::size_t>(weight.size), spec, weight,
          StoredVector{}, x, x);
  }
  void add(const float* x, float* y, const Factors& factors = {}) {
    threads(queue_, &plain::add, values(width_), factors, x, width_, y);
  }
  void rotate(float* x, int heads);

  const Step& step_;
  const Room& room_;
  Queue& queue_;
  const LayerSpec& spec_;
  const StoredLayer& weights_;
  int index_, tokens_, width_;
  std::size_t moe_row_;  ///< of the probes
};

}  // namespace expertscope::cuda::plain
