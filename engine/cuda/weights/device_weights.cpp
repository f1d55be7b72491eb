// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/weights/device_weights.h"

#include <algorithm>

#include "engine/cuda/weights/weight_stream.h"

namespace expertscope::cuda {
namespace {

/// Experts of the layer that has most of them.
std::size_t widest_layer(const WeightLayout& layout) {
  std::size_t experts = 1;
  for (const PlacedLayer& layer : layout.layers())
    experts = std::max(experts, static_cast<std::size_t>(layer.experts.experts));
  return experts;
}

}  // namespace

std::size_t staging_bytes(const WeightLayout& layout) {
  constexpr std::size_t kMost = std::size_t{32} << 20;
  std::size_t largest = 1;
  for (const auto* copies : {&layout.shared_copies(), &layout.expert_copies()}) {
    for (const WeightCopy& copy : *copies)
      largest =
          std::max(largest, static_cast<std::size_t>(copy.source.rows * copy.stride) * device_bytes(copy.to));
  }
  return std::min(largest, kMost);
}

std::size_t DeviceWeights::table_bytes(const WeightLayout& layout) {
  return layout.layers().size() * 2 * (widest_layer(layout) + 1) * sizeof(const void*);
}

/// Experts that stay on the host: a block a layer, because page-locking takes its time and a person may have
/// enough of waiting.
Status DeviceWeights::fill_host(const WeightLayout& layout, const std::function<void(std::size_t)>& done,
                                const std::stop_token& stop) {
  const auto cancelled = [] { return fail(ErrorCode::cancelled, "stopped while weights were loading"); };
  auto copy = layout.expert_copies().begin();
  for (const PlacedLayer& layer : layout.layers()) {
    const PlacedExperts& placed = layer.experts;
    host_views_.push_back(nullptr);
    PinnedBuffer<std::uint8_t>& block = host_experts_.emplace_back();
    if (placed.dense) continue;
    if (stop.stop_requested()) return cancelled();
    const std::size_t bytes = placed.expert_bytes * static_cast<std::size_t>(placed.experts);
    if (auto ok = block.allocate(bytes, "the experts of a layer"); !ok) return ok;
    const auto address = block.on_device();
    if (!address) return forward_error(address);
    host_views_.back() = *address;
    for (; copy != layout.expert_copies().end() && copy->offset < placed.offset + bytes; ++copy) {
      if (stop.stop_requested()) return cancelled();
      convert_rows(*copy, 0, copy->source.rows, block.data() + (copy->offset - placed.offset));
      done(static_cast<std::size_t>(copy->source.rows * copy->stride) * device_bytes(copy->to));
    }
  }
  return {};
}

/// Where a layer's experts begin, on the device or on the host.
const std::uint8_t* DeviceWeights::first_expert(const WeightLayout& layout, int layer) const {
  const PlacedExperts& placed = layout.layers()[static_cast<std::size_t>(layer)].experts;
  if (placed.dense) return shared_.data() + placed.offset;
  const std::uint8_t* host = host_experts(layer);
  return host != nullptr ? host : experts_.data() + placed.offset;
}

Status DeviceWeights::fill_tables(const WeightLayout& layout, cudaStream_t stream) {
  table_stride_ = widest_layer(layout);
  const std::size_t layers = layout.layers().size();
  const std::size_t entries = layers * 2 * (table_stride_ + 1);
  if (auto ok = tables_.allocate(entries, "tables of experts"); !ok) return ok;
  std::vector<const void*> host(entries, nullptr);
  for (std::size_t n = 0; n < layout.layers().size(); ++n) {
    const PlacedExperts& placed = layout.layers()[n].experts;
    const std::uint8_t* first = first_expert(layout, static_cast<int>(n));
    for (int e = 0; e < placed.experts; ++e) {
      const std::uint8_t* expert = first + static_cast<std::size_t>(e) * placed.expert_bytes;
      host[table_at(static_cast<int>(n), 0) + static_cast<std::size_t>(e)] = expert;
      host[table_at(static_cast<int>(n), 1) + static_cast<std::size_t>(e)] = expert + placed.down_offset;
    }
    const PlacedExperts& shared = layout.layers()[n].shared;
    const std::uint8_t* expert = shared_.data() + shared.offset;
    host[shared_table_at(layers, static_cast<int>(n), 0)] = expert;
    host[shared_table_at(layers, static_cast<int>(n), 1)] = expert + shared.down_offset;
  }
  const cudaError_t code =
      cudaMemcpyAsync(tables_.data(), host.data(), tables_.bytes(), cudaMemcpyHostToDevice, stream);
  if (auto ok = check(code, "loading weights"); !ok) return ok;
  return check(cudaStreamSynchronize(stream), "loading weights");
}

void DeviceWeights::bind(const WeightLayout& layout, const ModelConfig& config) {
  void* base = shared_.data();
  embed_tokens_ = layout.embed_tokens().on_device(base);
  lm_head_ = layout.lm_head().on_device(base);
  norm_ = layout.norm().on_device(base);
  for (std::size_t n = 0; n < layout.layers().size(); ++n) {
    const PlacedLayer& placed = layout.layers()[n];
    DeviceLayer layer;
    layer.qkv = placed.qkv.on_device(base);
    layer.o_proj = placed.o_proj.on_device(base);
    layer.router = placed.router.on_device(base);
    layer.router_pieces = placed.router_pieces.on_device(base);
    layer.input_layernorm = placed.input_layernorm.on_device(base);
    layer.post_attention_layernorm = placed.post_attention_layernorm.on_device(base);
    layer.q_norm = placed.q_norm.on_device(base);
    layer.k_norm = placed.k_norm.on_device(base);
    layer.qkv_bias = placed.qkv_bias.on_device(base);
    layer.o_bias = placed.o_bias.on_device(base);
    const auto experts = [&](const PlacedExperts& from, std::size_t gate_up, std::size_t down) {
      return DeviceExperts{
          tables_.data() + gate_up, tables_.data() + down,      from.type,         from.experts, from.inner,
          config.hidden_size,       padded(config.hidden_size), padded(from.inner)};
    };
    const auto index = static_cast<int>(n);
    const std::size_t layers = layout.layers().size();
    layer.experts = experts(placed.experts, table_at(index, 0), table_at(index, 1));
    layer.shared =
        experts(placed.shared, shared_table_at(layers, index, 0), shared_table_at(layers, index, 1));
    layer.shared_gate = placed.shared_gate.on_device(base);
    layer.correction_bias = placed.correction_bias.on_device(base);
    layers_.push_back(layer);
  }
}

Status DeviceWeights::copy_router_pieces(cudaStream_t stream) const {
  for (const DeviceLayer& layer : layers_) {
    const DeviceMatrix& from = layer.router;
    const DeviceMatrix& to = layer.router_pieces;
    const std::size_t row = static_cast<std::size_t>(from.stride) * device_bytes(from.type);
    for (int piece = 0; piece < kRouterPieces && to.rows > 0; ++piece) {
      auto* place =
          static_cast<std::uint8_t*>(const_cast<void*>(to.data)) + static_cast<std::size_t>(piece) * row;
      const cudaError_t code =
          cudaMemcpy2DAsync(place, kRouterPieces * row, from.data, row, row,
                            static_cast<std::size_t>(from.rows), cudaMemcpyDeviceToDevice, stream);
      if (auto ok = check(code, "loading weights"); !ok) return ok;
    }
  }
  return check(cudaStreamSynchronize(stream), "loading weights");
}

Status DeviceWeights::load(const WeightLayout& layout, const ModelConfig& config, bool resident,
                           cudaStream_t stream, const std::function<void(double)>& progress,
                           const std::stop_token& stop) {
  if (auto ok = shared_.allocate(layout.shared_bytes(), "weights"); !ok) return ok;
  if (resident) {
    if (auto ok = experts_.allocate(layout.expert_bytes(), "experts"); !ok) return ok;
  }
  const auto total = static_cast<double>(layout.shared_bytes() + layout.expert_bytes());
  std::size_t sent = 0;
  const auto done = [&](std::size_t bytes) {
    sent += bytes;
    if (progress) progress(std::min(1.0, static_cast<double>(sent) / total));
  };
  WeightStream transfer(stream, done, stop);
  if (auto ok = transfer.create(staging_bytes(layout)); !ok) return ok;
  if (auto ok = transfer.run(layout.shared_copies(), shared_.data()); !ok) return ok;
  Status ok =
      resident ? transfer.run(layout.expert_copies(), experts_.data()) : fill_host(layout, done, stop);
  if (ok) ok = transfer.finish();
  if (ok) ok = fill_tables(layout, stream);
  if (!ok) return ok;
  bind(layout, config);
  return copy_router_pieces(stream);
}

}  // namespace expertscope::cuda
