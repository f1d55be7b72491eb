// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/sizes.h"
#include "engine/cuda/step/device_step.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"

namespace expertscope::cuda {

/// What kernels read a format as where it lies; nullopt for one that is widened first.
std::optional<DeviceType> device_type(const WeightFormat& format);

/// What a matrix is on the device by itself: as it lies; else BF16 where that holds every number of its
/// format, or where the mode rounds to it; else F32.
DeviceType stored_type(const WeightFormat& format, MathMode math);

/// A matrix on its way from a mapped file to the device: its rows become rows of `stride` elements of type
/// `to`, zeros behind its columns.
struct WeightCopy {
  Matrix source;
  DeviceType to = DeviceType::f32;
  std::int64_t stride = 0;
  std::size_t offset = 0;  ///< bytes from the beginning of the block it belongs to
};

/// A matrix of the layout before there is memory for it.
struct PlacedMatrix {
  DeviceType type = DeviceType::f32;
  int rows = 0;
  int cols = 0;
  std::size_t offset = 0;

  /// The same on the device, in memory that begins at `base`; none when there are no rows.
  DeviceMatrix on_device(void* base) const;
};

/// A vector of floats; absent when `size` is 0.
struct PlacedVector {
  int size = 0;
  std::size_t offset = 0;

  const float* on_device(void* base) const;
};

/// The experts of a layer, in the block of experts, or the dense MLP of one as a single expert, in the block
/// of what every token reads. All have one size: expert e lies `expert_bytes * e` behind `offset`, first gate
/// and up, then down.
struct PlacedExperts {
  bool dense = false;
  DeviceType type = DeviceType::f32;
  int experts = 0;
  int inner = 0;
  std::size_t offset = 0;
  std::size_t down_offset = 0;   ///< of down_proj within an expert
  std::size_t expert_bytes = 0;  ///< a multiple of 256
};

struct PlacedLayer {
  PlacedMatrix qkv;  ///< rows of q_proj, k_proj, v_proj
  PlacedMatrix o_proj;
  PlacedMatrix router;  ///< no rows in a dense layer
  PlacedMatrix
      router_pieces;  ///< [router, router, router] side by side, for split_products; BF16 routers only
  PlacedVector input_layernorm, post_attention_layernorm, q_norm, k_norm, qkv_bias, o_bias;
  PlacedVector correction_bias;
  PlacedExperts experts;
  PlacedExperts shared;      ///< the shared expert, as a dense MLP; none without
  PlacedMatrix shared_gate;  ///< no rows without
};

/// Where every weight of a model goes, computed without touching the device: two blocks, one of what every
/// token reads and one of experts. A format that no kernel reads is widened on its way, to f32, or in bf16
/// mode to bf16, rounded to nearest even. Matrices that one kernel reads together lie behind each other in
/// one type: where a file mixes types they become f32.
class WeightLayout {
 public:
  WeightLayout(const ModelConfig& config, const Weights& weights, MathMode math);

  const std::vector<PlacedLayer>& layers() const { return layers_; }
  const PlacedMatrix& embed_tokens() const { return embed_tokens_; }
  const PlacedMatrix& lm_head() const { return lm_head_; }
  const PlacedVector& norm() const { return norm_; }

  std::size_t shared_bytes() const { return shared_bytes_; }
  std::size_t expert_bytes() const { return expert_bytes_; }  ///< of the whole block of experts
  const std::vector<WeightCopy>& shared_copies() const { return shared_; }
  const std::vector<WeightCopy>& expert_copies() const { return experts_; }
  /// The largest expert of a MoE layer: what a slot of the expert cache holds.
  std::size_t largest_expert() const { return largest_expert_; }

 private:
  DeviceType type_of(std::initializer_list<const Matrix*> matrices) const;
  DeviceType type_of(const std::vector<const MlpWeights*>& experts,
                     const std::vector<const MlpWeights*>& shared) const;
  PlacedMatrix place(std::initializer_list<const Matrix*> stacked);
  PlacedVector place(std::initializer_list<const Vector*> joined);
  PlacedMatrix reserve_pieces(const PlacedMatrix& router);
  PlacedExperts place_experts(const std::vector<const MlpWeights*>& experts, DeviceType type, bool dense);
  void copy_stacked(std::initializer_list<const Matrix*> stacked, DeviceType to, std::size_t offset,
                    std::vector<WeightCopy>& copies) const;

  MathMode math_;
  std::vector<PlacedLayer> layers_;
  PlacedMatrix embed_tokens_, lm_head_;
  PlacedVector norm_;
  std::vector<WeightCopy> shared_, experts_;
  std::size_t shared_bytes_ = 0;
  std::size_t expert_bytes_ = 0;
  std::size_t largest_expert_ = 0;
};

}  // namespace expertscope::cuda
