// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/step/device_step.h"
#include "engine/cuda/weights/weight_layout.h"
#include "engine/model/model.h"

namespace expertscope::cuda {

/// One decoder layer on the device. Vectors are null where the model has none.
struct DeviceLayer {
  DeviceMatrix qkv, o_proj, router;
  DeviceMatrix router_pieces;  ///< kRouterPieces times the router side by side, where it is BF16
  const float* input_layernorm = nullptr;
  const float* post_attention_layernorm = nullptr;
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  const float* qkv_bias = nullptr;
  const float* o_bias = nullptr;
  const float* correction_bias = nullptr;
  DeviceExperts experts;  ///< of a dense layer: its MLP as a single expert
  DeviceExperts shared;   ///< the shared expert as a single one; `experts` is 0 without
  DeviceMatrix shared_gate;
};

/// The weights of a model on a device. Experts that do not fit stay in page-locked host memory, where kernels
/// reach them too, slowly; see expert_cache.h.
class DeviceWeights {
 public:
  /// Takes the memory and streams everything through two page-locked buffers. `resident`: whether the experts
  /// go to the device as well; `progress` is told the part that is there.
  Status load(const WeightLayout& layout, const ModelConfig& config, bool resident, cudaStream_t stream,
              const std::function<void(double)>& progress, const std::stop_token& stop);

  /// Bytes of the tables of experts, which come on top of the layout's.
  static std::size_t table_bytes(const WeightLayout& layout);

  const DeviceLayer& layer(int index) const { return layers_[static_cast<std::size_t>(index)]; }
  const DeviceMatrix& embed_tokens() const { return embed_tokens_; }
  const DeviceMatrix& lm_head() const { return lm_head_; }
  const float* norm() const { return norm_; }

  /// The tables behind DeviceExperts of a layer, [experts] each, for whoever moves experts.
  const void** gate_up_table(int layer) const { return tables_.data() + table_at(layer, 0); }
  const void** down_table(int layer) const { return tables_.data() + table_at(layer, 1); }
  /// A layer's experts in host memory, as kernels see them; null when they are on the device.
  const std::uint8_t* host_experts(int layer) const {
    const auto index = static_cast<std::size_t>(layer);
    return index < host_views_.size() ? host_views_[index] : nullptr;
  }

 private:
  std::size_t table_at(int layer, int which) const {
    return (static_cast<std::size_t>(layer) * 2 + static_cast<std::size_t>(which)) * table_stride_;
  }
  /// Behind those: the tables of the shared experts, one entry each.
  std::size_t shared_table_at(std::size_t layers, int layer, int which) const {
    return (layers * table_stride_ + static_cast<std::size_t>(layer)) * 2 + static_cast<std::size_t>(which);
  }
  Status fill_host(const WeightLayout& layout, const std::function<void(std::size_t)>& done,
                   const std::stop_token& stop);
  const std::uint8_t* first_expert(const WeightLayout& layout, int layer) const;
  Status fill_tables(const WeightLayout& layout, cudaStream_t stream);
  void bind(const WeightLayout& layout, const ModelConfig& config);
  Status copy_router_pieces(cudaStream_t stream) const;

  DeviceBuffer<std::uint8_t> shared_;
  DeviceBuffer<std::uint8_t> experts_;
  std::vector<PinnedBuffer<std::uint8_t>> host_experts_;  ///< by layer
  std::vector<const std::uint8_t*> host_views_;           ///< the same for kernels
  DeviceBuffer<const void*> tables_;
  std::size_t table_stride_ = 0;
  std::vector<DeviceLayer> layers_;
  DeviceMatrix embed_tokens_, lm_head_;
  const float* norm_ = nullptr;
};

/// Bytes of one of the two transfer buffers: for a small model no more than its largest matrix takes, because
/// page-locking takes time.
std::size_t staging_bytes(const WeightLayout& layout);

}  // namespace expertscope::cuda
