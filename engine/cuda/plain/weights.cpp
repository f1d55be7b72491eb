// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/plain/weights.h"

#include <algorithm>
#include <initializer_list>

#include "engine/cuda/weights/weight_stream.h"

namespace expertscope::cuda::plain {

const void* StoredWeights::take(const Matrix& matrix, DeviceType type) {
  copies_.push_back({matrix, type, matrix.cols, arena_.used().value()});
  return arena_.take<std::uint8_t>(CheckedSize(matrix.rows) * CheckedSize(matrix.cols) *
                                   CheckedSize(static_cast<std::int64_t>(device_bytes(type))));
}

StoredVector StoredWeights::place(const Vector& vector) {
  if (vector.empty()) return {};
  const auto size = static_cast<std::int64_t>(vector.size());
  const void* data = take({vector.data(), &weight_format(FormatId::f32), 1, size}, DeviceType::f32);
  return {static_cast<const float*>(data), static_cast<int>(size)};
}

Matrices StoredWeights::place(const Matrix& matrix, const Vector& bias) {
  if (!matrix) return {};
  const StoredMatrix* at = table_at_ == nullptr ? nullptr : table_at_ + table_.size();
  const DeviceType type = stored_type(*matrix.format, MathMode::f32);
  const void* data = take(matrix, type);
  table_.push_back({data, type, place(bias).data});
  return {at, static_cast<int>(matrix.rows), static_cast<int>(matrix.cols)};
}

/// The same projection of all experts lies behind each other in the table.
StoredMlp StoredWeights::place(const MlpWeights* first, std::size_t count) {
  const auto all = [&](Matrix MlpWeights::*matrix, Vector MlpWeights::*bias) {
    Matrices placed;
    for (std::size_t e = 0; e < count; ++e) {
      const Matrices one = place(first[e].*matrix, first[e].*bias);
      if (e == 0) placed = one;
    }
    return placed;
  };
  return {all(&MlpWeights::gate_proj, &MlpWeights::gate_bias),
          all(&MlpWeights::up_proj, &MlpWeights::up_bias),
          all(&MlpWeights::down_proj, &MlpWeights::down_bias)};
}

StoredLayer StoredWeights::place(const LayerWeights& layer) {
  StoredLayer placed;
  placed.input_layernorm = place(layer.input_layernorm);
  placed.input_layernorm_bias = place(layer.input_layernorm_bias);
  placed.q_proj = place(layer.q_proj, layer.q_bias);
  placed.k_proj = place(layer.k_proj, layer.k_bias);
  placed.v_proj = place(layer.v_proj, layer.v_bias);
  placed.o_proj = place(layer.o_proj, layer.o_bias);
  placed.attention_gate = place(layer.attention_gate, {});
  placed.q_norm = place(layer.q_norm);
  placed.k_norm = place(layer.k_norm);
  placed.sinks = place(layer.sinks);
  placed.q_a_proj = place(layer.q_a_proj, layer.q_a_bias);
  placed.q_b_proj = place(layer.q_b_proj, {});
  placed.kv_a_proj = place(layer.kv_a_proj, layer.kv_a_bias);
  placed.kv_b_proj = place(layer.kv_b_proj, {});
  placed.q_a_norm = place(layer.q_a_norm);
  placed.kv_a_norm = place(layer.kv_a_norm);
  placed.delta_qkvz = place(layer.delta_qkvz, {});
  placed.delta_ba = place(layer.delta_ba, {});
  placed.delta_qkv = place(layer.delta_qkv, {});
  placed.delta_z = place(layer.delta_z, {});
  placed.delta_b = place(layer.delta_b, {});
  placed.delta_a = place(layer.delta_a, {});
  placed.delta_out = place(layer.delta_out, {});
  placed.delta_conv = place(layer.delta_conv);
  placed.delta_dt_bias = place(layer.delta_dt_bias);
  placed.delta_a_log = place(layer.delta_a_log);
  placed.delta_norm = place(layer.delta_norm);
  placed.attention_post_norm = place(layer.attention_post_norm);
  placed.attention_post_norm_bias = place(layer.attention_post_norm_bias);
  placed.post_attention_layernorm = place(layer.post_attention_layernorm);
  placed.post_attention_layernorm_bias = place(layer.post_attention_layernorm_bias);
  placed.router_norm = place(layer.router_norm);
  placed.correction_bias = place(layer.correction_bias);
  placed.expert_scale = place(layer.expert_scale);
  placed.expert_input_norm = place(layer.expert_input_norm);
  placed.expert_output_norm = place(layer.expert_output_norm);
  placed.dense_output_norm = place(layer.dense_output_norm);
  placed.output_scale = place(layer.output_scale);
  placed.router = place(layer.router, layer.router_bias);
  placed.shared_gate = place(layer.shared_gate, {});
  placed.experts = place(layer.experts.data(), layer.experts.size());
  placed.shared = place(&layer.shared, 1);
  placed.mlp = place(&layer.mlp, 1);
  placed.mlp_post_norm = place(layer.mlp_post_norm);
  placed.mlp_post_norm_bias = place(layer.mlp_post_norm_bias);
  return placed;
}

/// Without memory to measure, then with it.
void StoredWeights::place(std::uint8_t* base, const StoredMatrix* table) {
  arena_ = Arena(base);
  table_at_ = table;
  table_.clear();
  copies_.clear();
  layers.clear();
  embed_tokens = place(from_.embed_tokens, {});
  lm_head = from_.lm_head.data == from_.embed_tokens.data ? embed_tokens : place(from_.lm_head, {});
  norm = place(from_.norm);
  norm_bias = place(from_.norm_bias);
  for (const LayerWeights& layer : from_.layers)
    layers.push_back(place(layer));
}

std::size_t StoredWeights::bytes() const {
  return arena_.used().value() + table_.size() * sizeof(StoredMatrix);
}

std::size_t StoredWeights::staging_bytes() const {
  constexpr std::size_t kMost = std::size_t{32} << 20;
  std::size_t largest = 1;
  for (const WeightCopy& copy : copies_)
    largest =
        std::max(largest, static_cast<std::size_t>(copy.source.rows * copy.stride) * device_bytes(copy.to));
  return std::min(largest, kMost);
}

Status StoredWeights::load(cudaStream_t stream, const std::function<void(double)>& progress,
                           const std::stop_token& stop) {
  const std::size_t total = arena_.used().value();
  if (auto ok = memory_.allocate(total, "the weights"); !ok) return ok;
  if (auto ok = device_table_.allocate(table_.size(), "the table of weights"); !ok) return ok;
  place(memory_.data(), device_table_.data());
  std::size_t sent = 0;
  const auto done = [&](std::size_t bytes) {
    sent += bytes;
    progress(static_cast<double>(sent) / static_cast<double>(total));
  };
  WeightStream transfer(stream, done, stop);
  if (auto ok = transfer.create(staging_bytes()); !ok) return ok;
  if (auto ok = transfer.run(copies_, memory_.data()); !ok) return ok;
  const cudaError_t code = cudaMemcpyAsync(device_table_.data(), table_.data(), device_table_.bytes(),
                                           cudaMemcpyHostToDevice, stream);
  if (auto ok = check(code, "loading weights"); !ok) return ok;
  return transfer.finish();
}

}  // namespace expertscope::cuda::plain
