// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/step/workspace.h"
#include "engine/cuda/weights/weight_layout.h"
#include "engine/model/weights.h"

/// The plain path: every matrix and vector by itself, as the file has it.
namespace expertscope::cuda::plain {

/// A matrix as kernels read it: row-major, in the type of its file or what that is widened to (stored_type).
struct StoredMatrix {
  const void* data = nullptr;
  DeviceType type = DeviceType::f32;
  const float* bias = nullptr;  ///< [rows] of its product, or null
};

/// One matrix, or one of every expert: all have this shape.
struct Matrices {
  const StoredMatrix* stored = nullptr;  ///< on the device
  int rows = 0;
  int cols = 0;
};

struct StoredVector {
  const float* data = nullptr;  ///< null: the model has none
  int size = 0;
};

struct StoredMlp {
  Matrices gate, up, down;
};

/// LayerWeights (engine/model/weights.h) on the device, under the same names.
struct StoredLayer {
  StoredVector input_layernorm, input_layernorm_bias;
  Matrices q_proj, k_proj, v_proj, o_proj, attention_gate;
  StoredVector q_norm, k_norm, sinks;
  Matrices q_a_proj, q_b_proj, kv_a_proj, kv_b_proj;
  StoredVector q_a_norm, kv_a_norm;
  Matrices delta_qkvz, delta_ba, delta_qkv, delta_z, delta_b, delta_a, delta_out;
  StoredVector delta_conv, delta_dt_bias, delta_a_log, delta_norm;
  StoredVector attention_post_norm, attention_post_norm_bias;
  StoredVector post_attention_layernorm, post_attention_layernorm_bias;
  StoredVector router_norm, correction_bias, expert_scale;
  StoredVector expert_input_norm, expert_output_norm, dense_output_norm, output_scale;
  Matrices router, shared_gate;
  StoredMlp experts, shared, mlp;
  StoredVector mlp_post_norm, mlp_post_norm_bias;
};

class StoredWeights {
 public:
  /// Measures, and takes no memory. The weights must stay until load() is done.
  explicit StoredWeights(const Weights& weights) : from_(weights) { place(nullptr, nullptr); }

  /// Bytes on the device, and of one of the two transfer buffers.
  std::size_t bytes() const;
  std::size_t staging_bytes() const;
  /// `progress` is told the part that is there; a stop ends the transfer with ErrorCode::cancelled.
  Status load(cudaStream_t stream, const std::function<void(double)>& progress, const std::stop_token& stop);

  Matrices embed_tokens, lm_head;
  StoredVector norm, norm_bias;
  std::vector<StoredLayer> layers;

 private:
  void place(std::uint8_t* base, const StoredMatrix* table);
  Matrices place(const Matrix& matrix, const Vector& bias);
  StoredVector place(const Vector& vector);
  StoredMlp place(const MlpWeights* first, std::size_t count);
  StoredLayer place(const LayerWeights& layer);
  const void* take(const Matrix& matrix, DeviceType type);

  const Weights& from_;
  Arena arena_{nullptr};
  const StoredMatrix* table_at_ = nullptr;
  std::vector<StoredMatrix> table_;
  std::vector<WeightCopy> copies_;
  DeviceBuffer<std::uint8_t> memory_;
  DeviceBuffer<StoredMatrix> device_table_;
};

}  // namespace expertscope::cuda::plain
