// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/info_trace.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "app/cli/console.h"
#include "engine/text/visible_text.h"

namespace expertscope::cli {
namespace {

/// JSON kept as text in the trace; null when the field is empty.
nlohmann::ordered_json embedded(const std::string& text) {
  if (text.empty()) return nullptr;
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  return json.is_discarded() ? nlohmann::ordered_json(text) : json;
}

nlohmann::ordered_json probes_json(const CaptureRequest& probes) {
  return {{"routing", probes.routing},   {"expert_output", probes.expert_output},
          {"hidden", probes.hidden},     {"entropy", probes.entropy},
          {"log_prob", probes.log_prob}, {"router_logits", probes.router_logits}};
}

nlohmann::ordered_json run_json(const RunInfo& run, const std::vector<PolicyChange>& changes) {
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
        {"top_k", run.top_k},
        {"hidden_size", run.hidden_size}}},
      {"program_version", run.program_version},
      {"backend", run.backend},
      {"math", run.math},
      {"sampling", embedded(run.sampling)},
      {"dataset", run.dataset},
      {"dataset_sha256", run.dataset_sha256},
      {"prompt", run.prompt},
      {"text", run.text},
      {"probes", probes_json(run.probes)},
  };
  json["policy_changes"] = nlohmann::ordered_json::array();
  for (const PolicyChange& change : changes) {
    json["policy_changes"].push_back({{"token", change.token}, {"policy", embedded(change.policy_json)}});
  }
  return json;
}

std::string run_text(const RunInfo& run, const std::vector<PolicyChange>& changes) {
  const std::string title = fmt::format("run {}: {}, {}", run.id, run.kind, run.status);
  std::string text = heading(visible_text(title)) + "\n";
  const auto line = [&](const char* label, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<10} {}\n", label, visible_text(value));
  };
  line("message", run.message);
  line("started", run.started_at);
  line("model", fmt::format("{} ({}, {} layers x {} experts, top-{})", run.model.path, run.architecture,
                            run.layers, run.experts, run.top_k));
  line("made with", fmt::format("expertscope {}, {}", run.program_version, run.backend));
  line("data", run.dataset);
  line("sampling", run.sampling);
  line("tokens", run.dropped_tokens > 0 ? fmt::format("{}, and {} dropped", format_count(run.tokens),
                                                      format_count(run.dropped_tokens))
                                        : format_count(run.tokens));
  for (const PolicyChange& change : changes) {
    line("policy", fmt::format("from token {}: {}", change.token, change.policy_json));
  }
  return text;
}

/// Visits every run with its policy changes.
template <class Visit>
Status for_each_run(const TraceReader& trace, Visit visit) {
  const auto runs = trace.runs();
  if (!runs) return forward_error(runs);
  for (const RunInfo& run : *runs) {
    const auto changes = trace.policy_changes(run.id);
    if (!changes) return forward_error(changes);
    visit(run, *changes);
  }
  return {};
}

}  // namespace

Result<nlohmann::ordered_json> trace_json(const TraceReader& trace) {
  nlohmann::ordered_json json = {
      {"kind", "trace"}, {"path", trace.file().string()}, {"runs", nlohmann::ordered_json::array()}};
  const auto visited = for_each_run(trace, [&](const RunInfo& run, const std::vector<PolicyChange>& changes) {
    json["runs"].push_back(run_json(run, changes));
  });
  if (!visited) return forward_error(visited);
  return json;
}

Result<std::string> trace_text(const TraceReader& trace) {
  std::string text;
  const auto visited = for_each_run(trace, [&](const RunInfo& run, const std::vector<PolicyChange>& changes) {
    text += run_text(run, changes);
  });
  if (!visited) return forward_error(visited);
  return text.empty() ? "the trace holds no run\n" : text;
}

}  // namespace expertscope::cli
