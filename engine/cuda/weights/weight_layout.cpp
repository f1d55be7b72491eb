// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/weights/weight_layout.h"

#include <algorithm>

namespace expertscope::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::size_t matrix_bytes(DeviceType type, std::int64_t rows, std::int64_t cols) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(padded(static_cast<int>(cols))) *
         device_bytes(type);
}

}  // namespace

std::optional<DeviceType> device_type(const WeightFormat& format) {
  switch (format.id) {
    case FormatId::f32:
      return DeviceType::f32;
    case FormatId::f16:
      return DeviceType::f16;
    case FormatId::bf16:
      return DeviceType::bf16;
    default:
      return std::nullopt;
  }
}

DeviceType stored_type(const WeightFormat& format, MathMode math) {
  if (format.id == FormatId::int4_f16) return DeviceType::f16;
  const bool fits =
      math == MathMode::bf16 || format.id == FormatId::mxfp4 || format.id == FormatId::int4_bf16;
  return device_type(format).value_or(fits ? DeviceType::bf16 : DeviceType::f32);
}

DeviceMatrix PlacedMatrix::on_device(void* base) const {
  if (rows == 0) return {};
  return {static_cast<std::uint8_t*>(base) + offset, type, rows, cols, padded(cols)};
}

const float* PlacedVector::on_device(void* base) const {
  if (size == 0) return nullptr;
  return reinterpret_cast<const float*>(static_cast<std::uint8_t*>(base) + offset);
}

/// The type in which matrices can lie behind each other: their own when they share one.
DeviceType WeightLayout::type_of(std::initializer_list<const Matrix*> matrices) const {
  const auto type = [&](const Matrix* matrix) { return stored_type(*matrix->format, math_); };
  const DeviceType first = type(*matrices.begin());
  const bool same = std::all_of(matrices.begin(), matrices.end(),
                                [&](const Matrix* matrix) { return type(matrix) == first; });
  return same ? first : DeviceType::f32;
}

/// The type in which all experts of a layer can lie.
DeviceType WeightLayout::type_of(const std::vector<const MlpWeights*>& experts,
                                 const std::vector<const MlpWeights*>& shared) const {
  const DeviceType first = type_of({&experts.front()->gate_proj});
  const auto same = [&](const MlpWeights* expert) {
    return type_of({&expert->gate_proj, &expert->up_proj, &expert->down_proj}) == first;
  };
  const bool all =
      std::all_of(experts.begin(), experts.end(), same) && std::all_of(shared.begin(), shared.end(), same);
  return all ? first : DeviceType::f32;
}

void WeightLayout::copy_stacked(std::initializer_list<const Matrix*> stacked, DeviceType to,
                                std::size_t offset, std::vector<WeightCopy>& copies) const {
  for (const Matrix* matrix : stacked) {
    copies.push_back({*matrix, to, padded(static_cast<int>(matrix->cols)), offset});
    offset += matrix_bytes(to, matrix->rows, matrix->cols);
  }
}

PlacedMatrix WeightLayout::place(std::initializer_list<const Matrix*> stacked) {
  PlacedMatrix placed;
  placed.type = type_of(stacked);
  placed.cols = static_cast<int>((*stacked.begin())->cols);
  placed.offset = shared_bytes_;
  for (const Matrix* matrix : stacked)
    placed.rows += static_cast<int>(matrix->rows);
  copy_stacked(stacked, placed.type, placed.offset, shared_);
  shared_bytes_ += aligned(matrix_bytes(placed.type, placed.rows, placed.cols));
  return placed;
}

PlacedMatrix WeightLayout::reserve_pieces(const PlacedMatrix& router) {
  if (router.type != DeviceType::bf16) return {};
  const PlacedMatrix pieces{DeviceType::bf16, router.rows, kRouterPieces * padded(router.cols),
                            shared_bytes_};
  shared_bytes_ += aligned(matrix_bytes(pieces.type, pieces.rows, pieces.cols));
  return pieces;
}

PlacedVector WeightLayout::place(std::initializer_list<const Vector*> joined) {
  PlacedVector placed;
  placed.offset = shared_bytes_;
  for (const Vector* vector : joined) {
    if (vector->empty()) continue;
    const auto size = static_cast<std::int64_t>(vector->size());
    shared_.push_back({Matrix{vector->data(), &weight_format(FormatId::f32), 1, size}, DeviceType::f32, size,
                       placed.offset + static_cast<std::size_t>(placed.size) * sizeof(float)});
    placed.size += static_cast<int>(size);
  }
  shared_bytes_ += aligned(static_cast<std::size_t>(placed.size) * sizeof(float));
  return placed;
}

PlacedExperts WeightLayout::place_experts(const std::vector<const MlpWeights*>& experts, DeviceType type,
                                          bool dense) {
  PlacedExperts placed;
  const MlpWeights& first = *experts.front();
  std::size_t& used = dense ? shared_bytes_ : expert_bytes_;
  std::vector<WeightCopy>& copies = dense ? shared_ : experts_;
  placed.dense = dense;
  placed.type = type;
  placed.experts = static_cast<int>(experts.size());
  placed.inner = static_cast<int>(first.gate_proj.rows);
  placed.offset = used;
  placed.down_offset = aligned(matrix_bytes(placed.type, 2 * first.gate_proj.rows, first.gate_proj.cols));
  placed.expert_bytes =
      placed.down_offset + aligned(matrix_bytes(placed.type, first.down_proj.rows, first.down_proj.cols));
  for (const MlpWeights* expert : experts) {
    copy_stacked({&expert->gate_proj, &expert->up_proj}, placed.type, used, copies);
    copy_stacked({&expert->down_proj}, placed.type, used + placed.down_offset, copies);
    used += placed.expert_bytes;
  }
  if (!dense) largest_expert_ = std::max(largest_expert_, placed.expert_bytes);
  return placed;
}

WeightLayout::WeightLayout(const ModelConfig& config, const Weights& weights, MathMode math) : math_(math) {
  embed_tokens_ = place({&weights.embed_tokens});
  lm_head_ = weights.lm_head.data == weights.embed_tokens.data ? embed_tokens_ : place({&weights.lm_head});
  norm_ = place({&weights.norm});
  for (int n = 0; n < config.num_layers(); ++n) {
    const LayerWeights& layer = weights.layers[static_cast<std::size_t>(n)];
    PlacedLayer placed;
    placed.qkv = place({&layer.q_proj, &layer.k_proj, &layer.v_proj});
    placed.o_proj = place({&layer.o_proj});
    placed.input_layernorm = place({&layer.input_layernorm});
    placed.post_attention_layernorm = place({&layer.post_attention_layernorm});
    placed.q_norm = place({&layer.q_norm});
    placed.k_norm = place({&layer.k_norm});
    placed.qkv_bias = place({&layer.q_bias, &layer.k_bias, &layer.v_bias});
    placed.o_bias = place({&layer.o_bias});
    std::vector<const MlpWeights*> experts;
    std::vector<const MlpWeights*> shared;
    if (layer.shared.gate_proj) shared.push_back(&layer.shared);
    if (layer.shared_gate) placed.shared_gate = place({&layer.shared_gate});
    if (config.is_moe(n)) {
      placed.router = place({&layer.router});
      placed.router_pieces = reserve_pieces(placed.router);
      placed.correction_bias = place({&layer.correction_bias});
      for (const MlpWeights& expert : layer.experts)
        experts.push_back(&expert);
    } else {
      experts.push_back(&layer.mlp);
    }
    // One input, normed once, for both.
    const DeviceType type = type_of(experts, shared);
    placed.experts = place_experts(experts, type, !config.is_moe(n));
    if (!shared.empty()) placed.shared = place_experts(shared, type, true);
    layers_.push_back(placed);
  }
}

}  // namespace expertscope::cuda
