// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/memory_plan.h"

#include <algorithm>
#include <limits>

#include "engine/backend/rope_table.h"
#include "engine/cpu/can_run.h"
#include "engine/cpu/delta_state.h"
#include "engine/cpu/kv_cache.h"
#include "engine/cpu/reference_backend.h"
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

MemoryPlan plan_with_workspace(const Model& model, const BackendOptions& options, CheckedSize workspace,
                               const std::optional<std::size_t>& available) {
  const ModelConfig& config = model.config();
  const CheckedSize rope = RopeTables::floats(config, options.max_context) * CheckedSize(sizeof(float));
  MemoryPlan plan;
  plan.weights = model.identity().total_bytes;
  plan.kv_cache = bounded((KvCache::bytes(config, options) + DeltaStates::bytes(config, options)).value());
  plan.workspace = bounded((workspace + rope).value());
  if (available) plan.available = bounded(*available);
  plan.resident_experts = config.num_experts();
  return plan;
}

MemoryPlan plan_memory(const Model& model, const BackendOptions& options,
                       const std::optional<std::size_t>& available) {
  const Status fast = can_run(model.config());
  if (options.plain || !fast) {
    MemoryPlan plan = plan_reference_memory(model, options, available);
    if (!fast) plan.plain_because = fast.error().message;
    return plan;
  }
  return plan_with_workspace(model, options, Workspace::bytes(model.config(), options), available);
}

tl::unexpected<Error> short_of_memory(const MemoryPlan& plan, const BackendOptions& options) {
  const auto text = [](std::int64_t bytes) { return format_bytes(static_cast<std::size_t>(bytes)); };
  return fail(ErrorCode::out_of_memory,
              "{} are needed to run this model ({} of them for the KV cache of {} x {} tokens), {} are free; "
              "a shorter context needs less",
              text(plan.kv_cache + plan.workspace), text(plan.kv_cache), options.max_sequences,
              options.max_context, plan.available_known() ? text(plan.available) : "fewer");
}

Status check_fits(const MemoryPlan& plan, const BackendOptions& options) {
  const bool fits = !plan.available_known() || plan.kv_cache + plan.workspace <= plan.available;
  if (!fits) return short_of_memory(plan, options);
  return {};
}

}  // namespace expertscope::cpu
