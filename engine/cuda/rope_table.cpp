// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/rope_table.h"

#include <algorithm>

#include "engine/backend/rope_table.h"

namespace expertscope::cuda {
namespace {

/// Layers whose tables are equal on the device.
struct Table {
  RotarySpec rotary;
  int head_dim = 0;

  bool operator==(const Table&) const = default;
};

std::vector<Table> tables_of(const ModelConfig& config) {
  std::vector<Table> tables;
  for (const LayerSpec& layer : config.layers) {
    const Table table{layer.attention.rotary, layer.attention.head_dim};
    if (std::find(tables.begin(), tables.end(), table) == tables.end()) tables.push_back(table);
  }
  return tables;
}

/// Rows of a host table, filled up to the head's width.
void widen(const RopeTable& from, const Table& table, int positions, float* to) {
  const std::int64_t half = table.head_dim / 2;
  const std::int64_t turning = from.width() / 2;
  for (std::int64_t position = 0; position < positions; ++position, to += 2 * half) {
    std::fill(std::copy_n(from.cosine(position), turning, to), to + half, 1.0f);
    std::fill(std::copy_n(from.sine(position), turning, to + half), to + 2 * half, 0.0f);
  }
}

}  // namespace

CheckedSize RopeTables::floats(const ModelConfig& config, int positions) {
  CheckedSize sum(0);
  for (const Table& table : tables_of(config))
    sum = sum + CheckedSize(positions) * CheckedSize(table.head_dim);
  return sum;
}

Status RopeTables::build(const ModelConfig& config, int positions, cudaStream_t stream) {
  const auto no_memory = [&] {
    return fail(ErrorCode::out_of_memory, "no memory for the rotary embedding of {} positions", positions);
  };
  const std::size_t count = floats(config, positions).value();
  Buffer<float> host;
  if (!host.allocate(count)) return no_memory();
  if (auto ok = values_.allocate(count, "the rotary embedding"); !ok) return ok;
  const std::vector<Table> tables = tables_of(config);
  std::vector<const float*> begins;
  std::size_t at = 0;
  for (const Table& table : tables) {
    RopeTable turning;
    if (!turning.build(table.rotary, positions)) return no_memory();
    widen(turning, table, positions, host.data() + at);
    begins.push_back(values_.data() + at);
    at += static_cast<std::size_t>(positions) * static_cast<std::size_t>(table.head_dim);
  }
  for (const LayerSpec& layer : config.layers) {
    const Table table{layer.attention.rotary, layer.attention.head_dim};
    of_layer_.push_back(
        begins[static_cast<std::size_t>(std::find(tables.begin(), tables.end(), table) - tables.begin())]);
  }
  const cudaError_t code =
      cudaMemcpyAsync(values_.data(), host.data(), values_.bytes(), cudaMemcpyHostToDevice, stream);
  if (auto ok = check(code, "copying the rotary embedding"); !ok) return ok;
  return check(cudaStreamSynchronize(stream), "copying the rotary embedding");
}

}  // namespace expertscope::cuda
