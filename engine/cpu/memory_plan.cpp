// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/memory_plan.h"

#include <algorithm>
#include <limits>

#include "engine/backend/rope_table.h"
#include "engine/cpu/kv_cache.h"
#include "engine/cpu/workspace.h"
#include "engine/model/model.h"

namespace expertscope::cpu {
namespace {

std::int64_t bounded(std::size_t bytes) {
  // A quarter, so that sums of a few do not wrap.
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max() / 4);
  return static_cast<std::int64_t>(std::min(bytes, kMost));
}

}  // namespace

MemoryPlan plan_memory(const Model& model, const BackendOptions& options,
                       const std::optional<std::size_t>& available) {
  const ModelConfig& config = model.config();
  const CheckedSize rope = RopeTables::floats(config, options.max_context) * CheckedSize(sizeof(float));
  MemoryPlan plan;
  plan.weights = model.identity().total_bytes;
  plan.kv_cache = bounded(KvCache::bytes(config, options).value());
  plan.workspace = bounded((Workspace::bytes(config, options) + rope).value());
  if (available) plan.available = bounded(*available);
  plan.resident_experts = config.num_experts();
  return plan;
}

}  // namespace expertscope::cpu
