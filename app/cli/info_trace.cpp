// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/info_trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "app/cli/console.h"
#include "engine/backend/sizes.h"
#include "engine/text/visible_text.h"
#include "probes/analysis/analysis.h"
#include "probes/report/run_facts.h"

namespace expertscope::cli {
namespace {

/// JSON kept as text in the trace; null when the field is empty.
nlohmann::ordered_json embedded(const std::string& text) {
  if (text.empty()) return nullptr;
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  return json.is_discarded() ? nlohmann::ordered_json(text) : json;
}

nlohmann::ordered_json probes_json(const CaptureRequest& probes) {
  nlohmann::ordered_json json;
  for (const Probe& probe : kProbes)
    json[probe.name] = probes.*probe.flag;
  return json;
}

/// Null for the CPU.
nlohmann::ordered_json device_json(const RunInfo& run) {
  if (run.device.empty()) return nullptr;
  return {{"name", run.device},
          {"uuid", run.device_uuid},
          {"driver", run.driver},
          {"memory_bytes", run.device_memory}};
}

/// Null where the backend held all experts.
nlohmann::ordered_json cache_json(const std::optional<CacheStats>& cache) {
  if (!cache) return nullptr;
  return {{"hits", cache->hits}, {"misses", cache->misses}, {"bytes", cache->bytes}};
}

/// What a trace says about one run.
struct RunSummary {
  const RunInfo& run;
  std::vector<PolicyChange> changes;
  std::optional<CacheStats> cache;
};

std::int64_t shared_layers(const RunInfo& run) {
  return std::count(run.shared_layer.begin(), run.shared_layer.end(), 1);
}

nlohmann::ordered_json run_json(const RunSummary& summary) {
  const RunInfo& run = summary.run;
  nlohmann::ordered_json json = {
      {"id", run.id},
      {"kind", run.kind},
      {"status", run.status},
      {"message", run.message},
      {"started_at", run.started_at},
      {"tokens", run.tokens},
      {"dropped_tokens", run.dropped_tokens},
      {"model",
       {{"path", run.model.path},
        {"name", run.model.name},
        {"architecture", run.architecture},
        {"config_sha256", run.model.config_sha256},
        {"tensor_count", run.model.tensor_count},
        {"total_bytes", run.model.total_bytes},
        {"layers", run.layers},
        {"experts", run.experts},
        {"layers_with_shared_expert", shared_layers(run)},
        {"top_k", run.top_k},
        {"hidden_size", run.hidden_size}}},
      {"program_version", run.program_version},
      {"backend", run.backend},
      {"backend_reason", run.backend_reason},
      {"device", device_json(run)},
      {"math", run.math},
      {"sampling", embedded(run.sampling)},
      {"dataset", run.dataset},
      {"dataset_sha256", run.dataset_sha256},
      {"prompt", run.prompt},
      {"text", run.text},
      {"probes", probes_json(run.probes)},
      {"expert_cache", cache_json(summary.cache)},
  };
  json["policy_changes"] = nlohmann::ordered_json::array();
  for (const PolicyChange& change : summary.changes) {
    json["policy_changes"].push_back({{"token", change.token}, {"policy", embedded(change.policy_json)}});
  }
  return json;
}

std::string cache_text(const CacheStats& cache, std::int64_t tokens) {
  const auto all = static_cast<double>(cache.hits) + static_cast<double>(cache.misses);
  const std::int64_t per_token = tokens > 0 ? cache.bytes / tokens : 0;
  return fmt::format("{:.1f} % of the selected experts were on the device, {} read per token",
                     all > 0 ? 100 * cache.hit_rate() : 0.0,
                     format_bytes(static_cast<std::size_t>(per_token)));
}

std::string run_text(const RunSummary& summary) {
  const RunInfo& run = summary.run;
  const std::string title = fmt::format("run {}: {}, {}", run.id, run.kind, run.status);
  std::string text = heading(visible_text(title)) + "\n";
  const auto line = [&](const char* label, const std::string& value) {
    text += fmt::format("  {:<19} {}\n", label, visible_text(value));
  };
  for (const RunFact& fact : run_facts(run))
    line(fact.name, fact.value);
  if (summary.cache) line("cache", cache_text(*summary.cache, run.tokens));
  for (const PolicyChange& change : summary.changes) {
    line("policy", fmt::format("from token {}: {}", change.token, change.policy_json));
  }
  return text;
}

/// Visits every run.
template <class Visit>
Status for_each_run(const TraceReader& trace, Visit visit) {
  const auto runs = trace.runs();
  if (!runs) return forward_error(runs);
  for (const RunInfo& run : *runs) {
    auto changes = trace.policy_changes(run.id);
    if (!changes) return forward_error(changes);
    const auto layers = trace.layer_stats(run.id);
    if (!layers) return forward_error(layers);
    visit({run, std::move(*changes), total_cache(*layers)});
  }
  return {};
}

}  // namespace

Result<nlohmann::ordered_json> trace_json(const TraceReader& trace) {
  nlohmann::ordered_json json = {
      {"kind", "trace"}, {"path", trace.file().string()}, {"runs", nlohmann::ordered_json::array()}};
  const auto visited =
      for_each_run(trace, [&](const RunSummary& summary) { json["runs"].push_back(run_json(summary)); });
  if (!visited) return forward_error(visited);
  return json;
}

Result<std::string> trace_text(const TraceReader& trace) {
  std::string text;
  const auto visited = for_each_run(trace, [&](const RunSummary& summary) { text += run_text(summary); });
  if (!visited) return forward_error(visited);
  return text.empty() ? "the trace holds no run\n" : text;
}

}  // namespace expertscope::cli
