// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/run_facts.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/backend/sizes.h"
#include "probes/report/numbers.h"

namespace expertscope {
namespace {

std::string shape(const RunInfo& run) {
  const bool shared = std::count(run.shared_layer.begin(), run.shared_layer.end(), 1) > 0;
  return fmt::format("{} layers x {} experts{}, top-{}", run.layers, run.experts,
                     shared ? " and a shared one" : "", run.top_k);
}

std::string architecture(const RunInfo& run) {
  const auto moe = std::count(run.moe_layer.begin(), run.moe_layer.end(), 1);
  std::string text = fmt::format("{}: {}", run.architecture, shape(run));
  if (moe != run.layers) text += fmt::format(", {} of the layers with a router", moe);
  return text + fmt::format(", hidden size {}", run.hidden_size);
}

std::string device(const RunInfo& run) {
  if (run.device.empty()) return {};
  return fmt::format("{}, {} of memory, driver {}", run.device,
                     format_bytes(static_cast<std::size_t>(run.device_memory)), run.driver);
}

std::string weights(const RunInfo& run) {
  if (run.model.tensor_count == 0) return {};
  return fmt::format("{} tensors, {}", numbers::count(run.model.tensor_count),
                     format_bytes(static_cast<std::size_t>(run.model.total_bytes)));
}

std::string tokens(const RunInfo& run) {
  const std::string kept = numbers::count(run.tokens);
  return run.dropped_tokens > 0 ? fmt::format("{}, and {} dropped", kept, numbers::count(run.dropped_tokens))
                                : kept;
}

}  // namespace

std::vector<RunFact> run_facts(const RunInfo& run) {
  std::vector<RunFact> facts = {
      {"status", run.message.empty() ? run.status : run.status + ": " + run.message},
      {"started", run.started_at},
      {"tokens", tokens(run)},
      {"model", run.model.name},
      {"folder", run.model.path, true},
      {"architecture", architecture(run)},
      {"config.json SHA-256", run.model.config_sha256, true},
      {"weights", weights(run)},
      {"made with", run.program_version.empty() ? std::string() : "Expertscope " + run.program_version},
      {"backend", run.backend},
      {"because", run.backend_reason},
      {"device", device(run)},
      {"device UUID", run.device_uuid, true},
      {"arithmetic", run.math},
      {"sampling", run.sampling, true},
      {"data", run.dataset},
      {"data SHA-256", run.dataset_sha256, true},
  };
  std::erase_if(facts, [](const RunFact& fact) { return fact.value.empty(); });
  return facts;
}

std::string run_summary(const RunInfo& run) {
  return fmt::format("{} | {} | {} | {}", run.model.name, run.architecture, shape(run), run.backend);
}

}  // namespace expertscope
