// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/formats/json_fields.h"
#include "probes/analysis/export.h"
#include "probes/report/limits.h"
#include "probes/report/sections.h"

namespace expertscope::report {
namespace {

using Json = nlohmann::ordered_json;  // hides the engine's: reports keep the order of their fields

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
Json parsed(const std::string& json) {
  return Json::parse(json, nullptr, false);
}

Json info_json(const RunInfo& info) {
  return {{"id", info.id},
          {"kind", info.kind},
          {"started_at", info.started_at},
          {"status", info.status},
          {"message", info.message},
          {"model",
           {{"path", info.model.path},
            {"name", info.model.name},
            {"config_sha256", info.model.config_sha256},
            {"tensor_count", info.model.tensor_count},
            {"total_bytes", info.model.total_bytes},
            {"architecture", info.architecture},
            {"layers", info.layers},
            {"experts", info.experts},
            {"top_k", info.top_k},
            {"hidden_size", info.hidden_size},
            {"moe_layer", info.moe_layer},
            {"shared_layer", info.shared_layer}}},
          {"program_version", info.program_version},
          {"backend", info.backend},
          {"backend_reason", info.backend_reason},
          {"device", info.device},
          {"device_uuid", info.device_uuid},
          {"driver", info.driver},
          {"device_memory", info.device_memory},
          {"math", info.math},
          {"sampling", info.sampling},
          {"dataset", info.dataset},
          {"dataset_sha256", info.dataset_sha256},
          {"prompt", info.prompt},
          {"text", info.text},
          {"tokens", info.tokens},
          {"dropped_tokens", info.dropped_tokens}};
}

Json cache_json(const CacheStats& cache, std::int64_t tokens) {
  return {
      {"hits", cache.hits},
      {"misses", cache.misses},
      {"bytes", cache.bytes},
      {"hit_rate", number_or_null(cache.hit_rate())},
      {"bytes_per_token", number_or_null(static_cast<double>(cache.bytes) / static_cast<double>(tokens))}};
}

// One entry a layer; empty without an expert cache.
Json cache_layers_json(const ReportedRun& run) {
  Json array = Json::array();
  for (std::size_t layer = 0; layer < run.layers.size(); ++layer) {
    if (!run.layers[layer].cache) continue;
    Json entry = {{"layer", layer}};
    entry.update(cache_json(*run.layers[layer].cache, run.info.tokens));
    array.push_back(std::move(entry));
  }
  return array;
}

Json layers_json(const std::vector<LayerStats>& layers) {
  Json array = Json::array();
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const LayerStats& stats = layers[layer];
    array.push_back(
        {{"layer", layer},
         {"tokens", stats.tokens},
         {"hidden_max", stats.hidden_token < 0 ? Json(nullptr) : number_or_null(stats.hidden_max)},
         {"hidden_channel", stats.hidden_channel < 0 ? Json(nullptr) : Json(stats.hidden_channel)},
         {"hidden_token", stats.hidden_token < 0 ? Json(nullptr) : Json(stats.hidden_token)}});
  }
  return array;
}

// As recorded; text that is no JSON, or nested as no policy is, stays text.
Json policy_json(const std::string& text) {
  return parse_json(text, "the recorded policy") ? parsed(text) : Json(text);
}

Json changes_json(const std::vector<PolicyChange>& changes) {
  Json array = Json::array();
  for (const PolicyChange& change : changes) {
    array.push_back({{"token", change.token}, {"policy", policy_json(change.policy_json)}});
  }
  return array;
}

bool too_large(const ReportedRun& run) {
  return run.table.cells.size() > kMostCells;
}

Json result_json(const AnalysisResult& result) {
  return parsed(to_json(result));
}

Json without(AnalysisResult result, std::string_view table) {
  std::erase_if(result.tables, [&](const Table& each) { return each.id == table; });
  return result_json(result);
}

// Without the ranking of all experts: "experts" holds its numbers.
Json super_experts_json(const ReportedRun& run) {
  Json json = Json::object();
  for (const AnalysisResult& result : run.results) {
    if (result.id == "super-experts") json[result.options.text("definition")] = without(result, "ranking");
  }
  return json;
}

Json run_json(const ReportedRun& run) {
  Json json = {
      {"trace", run.file},
      {"run", info_json(run.info)},
      {"policy_changes", changes_json(run.policy)},
      // Of a model that is too large for a page only what is known of whole layers.
      {"load", too_large(run) ? without(*run.result("load"), "experts") : result_json(*run.result("load"))},
      {"super_experts", super_experts_json(run)},
      {"entropy", result_json(*run.result("entropy"))},
      {"hidden", layers_json(run.layers)},
      {"attention", result_json(*run.result("attention"))},
      {"experts", too_large(run) ? Json(nullptr) : result_json(*run.result("experts"))}};
  if (too_large(run)) {
    json["left_out"] =
        fmt::format("the numbers of the {} experts; \"expertscope-cli analyze load\" writes them",
                    run.table.cells.size());
  }
  // With the rows that the page shows.
  for (const AnalysisSection& section : run.sections)
    json["analyses"][section.result.id] = result_json(section.result);
  if (const auto cache = total_cache(run.layers)) {
    json["expert_cache"] = cache_json(*cache, run.info.tokens);
    json["expert_cache"]["layers"] = cache_layers_json(run);
  }
  if (run.likelihood.tokens > 0) {
    json["recorded_likelihood"] = {{"tokens", run.likelihood.tokens},
                                   {"nll_mean", number_or_null(run.likelihood.nll_mean)},
                                   {"perplexity", number_or_null(std::exp(run.likelihood.nll_mean))}};
  }
  return json;
}

Json effect_json(const Effect& effect) {
  Json overlap = Json::array();
  for (const LayerOverlap& layer : effect.overlap) {
    overlap.push_back({{"layer", layer.layer}, {"overlap", number_or_null(layer.overlap)}});
  }
  Json json = {{"warnings", effect.warnings},
               {"common_tokens", effect.common.tokens},
               {"selection_overlap", std::move(overlap)},
               {"scored_tokens", effect.common.scored}};
  if (effect.common.scored > 0) {
    json["perplexity_before"] = number_or_null(std::exp(effect.common.nll_before));
    json["perplexity_after"] = number_or_null(std::exp(effect.common.nll_after));
    json["log_prob_difference"] = number_or_null(effect.log_prob_difference());
  }
  return json;
}

// Null: there is a baseline, and KL was not measured.
Json divergence_json(const std::optional<ReportDivergence>& divergence) {
  if (!divergence) return nullptr;
  return {{"kl_mean", number_or_null(divergence->kl_mean)},
          {"tokens", divergence->tokens},
          {"of_tokens", divergence->of_tokens},
          {"backend", divergence->backend}};
}

Json comparison_json(const ReportInput& input) {
  const ReportComparison& comparison = *input.comparison;
  const auto optional = [](const std::optional<double>& value) {
    return value ? number_or_null(*value) : Json(nullptr);
  };
  return {{"text_name", comparison.text_name},
          {"protocol", comparison.protocol},
          {"perplexity_before", optional(comparison.perplexity_before)},
          {"perplexity_after", optional(comparison.perplexity_after)},
          {"kl_mean", optional(comparison.kl_mean)},
          {"kl_tokens", comparison.kl_tokens},
          {"policy", comparison.policy_json.empty() ? Json(nullptr) : policy_json(comparison.policy_json)},
          {"edits_of_this_run", comparison_fits(input)},
          {"prompt", comparison.prompt},
          {"text_before", comparison.text_before},
          {"text_after", comparison.text_after}};
}

}  // namespace

std::string report_json(const ReportInput& input) {
  Json json = run_json(input.run);
  json["report_version"] = 2;  // 2: load is a table of layers and one of experts
  if (input.before) json["baseline"] = run_json(*input.before);
  if (input.effect) json["effect"] = effect_json(*input.effect);
  if (input.before) json["divergence"] = divergence_json(input.divergence);
  if (input.comparison) json["comparison"] = comparison_json(input);
  // Prompts and file names may hold any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace expertscope::report
