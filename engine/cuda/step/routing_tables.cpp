// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/step/routing_tables.h"

#include <algorithm>
#include <cstring>

namespace expertscope::cuda {
namespace {

constexpr std::size_t kPerExpert = 2 * sizeof(float) + sizeof(std::int32_t) + 2;  // the five arrays

std::size_t array_experts(const ModelConfig& config) {
  return static_cast<std::size_t>(padded(std::max(1, config.num_experts())));
}

}  // namespace

std::size_t RoutingTables::bytes(const ModelConfig& config) {
  return static_cast<std::size_t>(config.num_layers() + 1) *
         (sizeof(DeviceRouting) + array_experts(config) * kPerExpert);
}

Status RoutingTables::allocate(const ModelConfig& config) {
  layers_ = config.num_layers();
  is_moe_ = config.moe_layers();
  weights_.assign(static_cast<std::size_t>(layers_), {});
  experts_ = array_experts(config);
  layer_bytes_ = experts_ * kPerExpert;
  if (auto ok = device_.allocate(bytes(config), "routing tables"); !ok) return ok;
  return host_.allocate(bytes(config), "routing tables");
}

void RoutingTables::fill_layer(const LayerRouting& layer, std::size_t offset, DeviceRouting& device) {
  const auto put = [&](const auto& values) {
    using Value = typename std::decay_t<decltype(values)>::value_type;
    std::memcpy(host_.data() + offset, values.data(), values.size() * sizeof(Value));
    const auto* address = reinterpret_cast<const Value*>(device_.data() + offset);
    offset += experts_ * sizeof(Value);
    return address;
  };
  device.logit_bias = put(layer.logit_bias);
  device.output_scale = put(layer.output_scale);
  device.remap = put(layer.remap);
  device.drop = put(layer.drop);
  device.force = put(layer.force);
  device.top_k = layer.top_k;
  device.top_p = layer.top_p;
  device.edited = layer.edited ? 1 : 0;
  device.model = layer.model;
}

void RoutingTables::fill(const RoutingTable& table) {
  const LayerRouting dense{.model = {.experts = 1, .top_k = 1},
                           .logit_bias = {0.0f},
                           .remap = {0},
                           .output_scale = {1.0f},
                           .drop = {0},
                           .force = {0},
                           .top_k = 1};
  const std::size_t arrays = static_cast<std::size_t>(layers_ + 1) * sizeof(DeviceRouting);
  for (int n = 0; n <= layers_; ++n) {
    const auto index = static_cast<std::size_t>(n);
    DeviceRouting device;
    const bool moe = n < layers_ && is_moe_[index];
    fill_layer(moe ? table.layers[index] : dense, arrays + index * layer_bytes_, device);
    if (moe) device.correction_bias = weights_[index].correction_bias;
    if (moe) device.expert_scale = weights_[index].expert_scale;
    std::memcpy(host_.data() + index * sizeof(DeviceRouting), &device, sizeof(device));
  }
}

void RoutingTables::upload(const std::shared_ptr<const RoutingTable>& table, Queue& queue) {
  if (table == current_) return;
  queue.enter("copying the routing table");
  fill(*table);
  queue.copy(device_.data(), host_.data(), device_.bytes(), cudaMemcpyHostToDevice);
  current_ = queue.ok() ? table : nullptr;
}

}  // namespace expertscope::cuda
