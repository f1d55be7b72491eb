// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "engine/backend/sizes.h"
#include "probes/report/html.h"
#include "probes/report/limits.h"
#include "probes/report/plots.h"
#include "probes/report/run_facts.h"

namespace expertscope::report {
namespace {

constexpr const char* kTimes = "×";
constexpr const char* kEmDash = "—";

std::string tile(const std::string& value, const std::string& name) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", value, name);
}

std::string figure(const std::string& picture, const std::string& caption) {
  return fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", picture, caption);
}

int moe_layers(const RunInfo& info) {
  return static_cast<int>(std::count(info.moe_layer.begin(), info.moe_layer.end(), 1));
}

std::int64_t decisions(const LoadResult& load) {
  std::int64_t sum = 0;
  for (const LayerLoad& layer : load.layers) {
    for (const std::int64_t count : layer.count)
      sum += count;
  }
  return sum;
}

int dead_experts(const LoadResult& load) {
  int dead = 0;
  for (const LayerLoad& layer : load.layers)
    dead += layer.dead_experts;
  return dead;
}

std::string mean_entropy(const EntropyResult& entropy) {
  if (entropy.layers.empty()) return kEmDash;
  double sum = 0;
  for (const LayerEntropy& layer : entropy.layers)
    sum += layer.normalised;
  return percent(sum / static_cast<double>(entropy.layers.size()));
}

std::string model_name(const RunInfo& info) {
  return info.model.name.empty() ? info.model.path : info.model.name;
}

// One <dt>/<dd> pair; nothing for an empty value.
std::string entry(const std::string& name, const std::string& value, bool mono = false) {
  if (value.empty()) return {};
  return fmt::format("<dt>{}</dt><dd{}>{}</dd>\n", name, mono ? " class=\"mono\"" : "", escape(value));
}

// Behind a list that was cut: " and 12 more".
std::string and_more(std::size_t all, std::size_t shown) {
  return all > shown ? fmt::format(" and {} more", grouped(static_cast<std::int64_t>(all - shown)))
                     : std::string();
}

std::string domains(const ReportedRun& run) {
  std::map<std::string, int> count;
  for (const SequenceInfo& sequence : run.sequences) {
    if (!sequence.domain.empty()) ++count[sequence.domain];
  }
  std::string text;
  std::size_t shown = 0;
  for (const auto& [domain, sequences] : count) {
    if (shown == kMostRowsOfATable) break;
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", domain, sequences);
    ++shown;
  }
  return text + and_more(count.size(), shown);
}

std::string status_warning(const RunInfo& info) {
  if (info.status == "finished" && info.dropped_tokens == 0) return {};
  std::string text = fmt::format("This run is marked <b>{}</b>.", escape(info.status));
  if (!info.message.empty()) text += " " + escape(info.message) + ".";
  if (info.status == "interrupted") {
    text +=
        " The recording ended before the run did, with its program or with whoever read its output; what had "
        "been written by then is below.";
  }
  if (info.dropped_tokens > 0) {
    text += fmt::format(" {} tokens were dropped by a live view and are in no number.",
                        grouped(info.dropped_tokens));
  }
  return "<div class=\"warning\">" + text + "</div>\n";
}

std::string token_code(const TokenRow& token) {
  return token.bytes.empty() ? fmt::format("id {}", token.id)
                             : "<code>" + escape(token_text(token.bytes)) + "</code>";
}

std::string expert_text(const SuperExpert& expert) {
  return expert.expert == kSharedExpert ? "shared" : std::to_string(expert.expert);
}

std::string super_expert_rows(const ReportedRun& run) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < run.outlier_tokens.size(); ++i) {
    const SuperExpert& expert = run.paper.super_experts[i];
    const auto& seen_by_hook = run.upstream.super_experts;
    const bool upstream =
        std::any_of(seen_by_hook.begin(), seen_by_hook.end(), [&](const SuperExpert& other) {
          return other.layer == expert.layer && other.expert == expert.expert;
        });
    rows.push_back({std::to_string(expert.rank), std::to_string(expert.layer), expert_text(expert),
                    number(expert.output_max), std::to_string(expert.channel), grouped(expert.token),
                    token_code(run.outlier_tokens[i]), grouped(expert.count), upstream ? "yes" : "no"});
  }
  const std::string more = and_more(run.paper.super_experts.size(), rows.size());
  return table({{"rank", true},
                {"layer", true},
                {"expert", true},
                {"max |output|", true},
                {"channel", true},
                {"at token", true},
                {"token"},
                {"slots", true},
                {"also by upstream’s rule"}},
               rows) +
         (more.empty() ? std::string() : "<p class=\"note\">These" + more + ".</p>\n");
}

std::string list_super_experts(const SuperExpertResult& result) {
  std::string text;
  const std::size_t shown = std::min(result.super_experts.size(), kMostRowsOfATable);
  for (std::size_t i = 0; i < shown; ++i) {
    const SuperExpert& expert = result.super_experts[i];
    text += fmt::format("{}({}, {})", text.empty() ? "" : ", ", expert.layer, expert_text(expert));
  }
  return text.empty() ? "none" : text + and_more(result.super_experts.size(), shown);
}

// The twin of the plots in numbers.
std::string layer_table(const ReportedRun& run) {
  std::map<int, const LayerLoad*> load;
  for (const LayerLoad& layer : run.load.layers)
    load[layer.layer] = &layer;
  std::map<int, const LayerEntropy*> entropy;
  for (const LayerEntropy& layer : run.entropy.layers)
    entropy[layer.layer] = &layer;
  const bool cached = total_cache(run.layers).has_value();
  std::vector<std::vector<std::string>> rows;
  for (int layer = 0; layer < run.info.layers; ++layer) {
    std::vector<std::string> row{std::to_string(layer)};
    if (load.count(layer) > 0) {
      const LayerLoad& l = *load[layer];
      const auto busiest = std::max_element(l.count.begin(), l.count.end()) - l.count.begin();
      row.insert(row.end(), {fmt::format("{} ({})", busiest, percent(l.share[busiest])),
                             number(l.max_over_mean), std::to_string(l.dead_experts), number(l.jain)});
    } else {
      row.insert(row.end(), {"dense", "", "", ""});
    }
    if (entropy.count(layer) > 0) {
      const LayerEntropy& e = *entropy[layer];
      row.insert(row.end(), {number(e.mean), number(e.min), number(e.max), percent(e.normalised)});
    } else {
      row.insert(row.end(), {kEmDash, kEmDash, kEmDash, kEmDash});
    }
    const LayerStats& stats = run.layers[layer];
    row.push_back(stats.hidden_token < 0 ? kEmDash : number(stats.hidden_max));
    row.push_back(stats.hidden_token < 0 ? kEmDash : std::to_string(stats.hidden_channel));
    row.push_back(stats.attention_tokens == 0 ? kEmDash : percent(stats.attention_mean()));
    if (cached) row.push_back(stats.cache ? percent(stats.cache->hit_rate()) : kEmDash);
    rows.push_back(std::move(row));
  }
  std::vector<Column> columns = {
      {"layer", true},   {"busiest expert", true}, {"load ratio", true}, {"dead", true},
      {"Jain", true},    {"entropy [nats]", true}, {"min", true},        {"max", true},
      {"of ln E", true}, {"max |hidden|", true},   {"channel", true},    {"on first token", true}};
  if (cached) columns.push_back({"cache hits", true});
  return table(columns, rows);
}

}  // namespace

std::string edits_html(const PolicyStep& step) {
  if (!step.problem.empty()) {
    return fmt::format(": the recorded policy cannot be read ({})", escape(step.problem));
  }
  std::string out = step.edits.empty() ? ": the model’s own routing" : "";
  if (step.edits.empty() && step.disabled.empty()) return out;
  out += "<ul>";
  std::size_t shown = 0;
  for (const std::string& edit : step.edits) {
    if (shown++ < kMostRowsOfATable) out += "<li>" + escape(edit) + "</li>";
  }
  for (const std::string& edit : step.disabled) {
    if (shown++ < kMostRowsOfATable) out += "<li class=\"off\">" + escape(edit) + " (off)</li>";
  }
  const std::string more = and_more(shown, kMostRowsOfATable);
  return out + (more.empty() ? "" : "<li class=\"note\">…" + more + "</li>") + "</ul>";
}

std::vector<CellMark> ReportInput::marks() const {
  std::map<std::pair<int, int>, CellMark> unique;
  for (const PolicyStep& step : steps) {
    for (const CellMark& mark : step.marks)
      unique[{mark.layer, mark.expert}] = mark;
  }
  std::vector<CellMark> all;
  for (auto& [cell, mark] : unique) {
    if (all.size() < kMostMarks) all.push_back(std::move(mark));
  }
  return all;
}

bool comparison_fits(const ReportInput& input) {
  const std::string last = input.run.policy.empty() ? std::string() : input.run.policy.back().policy_json;
  return input.comparison && same_edits(input.comparison->policy_json, last);
}

std::string title_section(const ReportInput& input) {
  const RunInfo& info = input.run.info;
  std::string out = fmt::format("<h1>Routing of {}</h1>\n", escape(model_name(info)));
  out += fmt::format("<p class=\"lead\">{}, run {} of {}, {} · Expertscope {}</p>\n",
                     info.kind == "generate" ? "A generation" : "A profile", info.id, escape(input.run.file),
                     escape(info.started_at), escape(info.program_version));
  out += status_warning(info);
  out += "<div class=\"tiles\">\n";
  out += tile(grouped(info.tokens), "tokens");
  out += tile(grouped(decisions(input.run.load)), "expert slots recorded");
  out += tile(fmt::format("{} {} {}", moe_layers(info), kTimes, info.experts),
              fmt::format("MoE layers {} experts, top-{}", kTimes, info.top_k));
  out += tile(grouped(dead_experts(input.run.load)), "experts never used");
  out += tile(std::to_string(input.run.paper.super_experts.size()),
              input.run.paper.super_experts.size() == 1 ? "super expert" : "super experts");
  out += tile(mean_entropy(input.run.entropy), "mean router entropy, of the largest possible");
  return out + "</div>\n";
}

std::string identity_section(const ReportInput& input) {
  const RunInfo& info = input.run.info;
  std::string out = "<h2>Model and run</h2>\n<dl>\n";
  for (const RunFact& fact : run_facts(info)) {
    std::string name = fact.name;
    name.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(name.front())));
    out += entry(name, fact.value, fact.code);
  }
  out += entry("Sequences", grouped(static_cast<std::int64_t>(input.run.sequences.size())));
  out += entry("Domains (sequences)", domains(input.run));
  if (input.run.likelihood.tokens > 0) {
    out += entry(
        "Perplexity of the recorded text",
        fmt::format("{} over {} tokens, each given its own sequence only",
                    number(std::exp(input.run.likelihood.nll_mean)), grouped(input.run.likelihood.tokens)));
  }
  return out + "</dl>\n";
}

std::string load_section(const ReportInput& input) {
  std::string out = "<h2>Load</h2>\n";
  std::string caption =
      "Share of each layer’s expert slots that went to each expert. The mark on the legend is the "
      "even "
      "share, 1/E. Empty cells were never used.";
  caption += map_note(input.run.load);
  if (!input.marks().empty()) caption += " Outlined cells were edited (see Policy).";
  out += figure(load_heatmap(input.run.load, input.marks()), caption);
  return out;
}

std::string super_expert_section(const ReportInput& input) {
  const SuperExpertResult& result = input.run.paper;
  std::string out = "<h2>Super experts</h2>\n";
  if (result.ranking.empty()) return out + "<p>Expert outputs were not measured in this run.</p>\n";
  out += fmt::format(
      "<p>An expert counts when its largest |down_proj output| is above both the {:g}th percentile ({}) and "
      "1/{:g} of the maximum, rounded down ({}), in the first {} of {} layers.</p>\n",
      result.options.percentile, number(result.percentile_threshold), result.options.max_divisor,
      number(result.max_threshold), result.layers_included, input.run.info.layers);
  if (result.super_experts.empty()) {
    out += "<p><b>None in this run.</b></p>\n";
  } else {
    out += super_expert_rows(input.run);
  }
  out +=
      figure(outlier_plot(result, input.run.info.layers),
             std::string(
                 "Every point is an expert; inside a layer they stand in the order of their number, a shared "
                 "one first. The "
                 "vertical axis is logarithmic. Dashed: the two thresholds.") +
                 (result.ranking.size() > kMostPoints
                      ? " There are too many to draw: of those at the same place only the largest is shown."
                      : ""));
  out += fmt::format(
      "<p class=\"note\">By the rule of the public code, which sees only the first token routed to "
      "an expert in each sequence, the super experts (layer, expert) are: {}.</p>\n",
      list_super_experts(input.run.upstream));
  return out;
}

std::string cache_text(const ReportedRun& run) {
  const auto cache = total_cache(run.layers);
  if (!cache) return {};
  const auto per_token = run.info.tokens > 0 ? cache->bytes / run.info.tokens : 0;
  return fmt::format(
      "<p>The device held a part of the experts: {} of {} selections found theirs there; {} were read from "
      "the host, {} a token.</p>\n",
      percent(cache->hit_rate()), grouped(cache->hits + cache->misses),
      format_bytes(static_cast<std::size_t>(cache->bytes)),
      format_bytes(static_cast<std::size_t>(per_token)));
}

std::string layer_section(const ReportInput& input) {
  std::string out = "<h2>Layers</h2>\n";
  out += figure(
      entropy_plot(input.run.entropy, input.run.info.layers, input.run.info.experts),
      "Entropy of the router’s scores over all experts (see Definitions): mean over the tokens, and the "
      "range between the smallest and the largest.");
  if (!input.run.attention.layers.empty()) {
    out += figure(attention_plot(input.run.attention, input.run.info.layers),
                  "Attention on the first token of the sequence: mean over the tokens, and the range between "
                  "the smallest and the largest.");
  }
  return out + cache_text(input.run) + layer_table(input.run);
}

std::string policy_section(const ReportInput& input) {
  std::string out = "<h2>Policy</h2>\n";
  if (input.steps.empty()) return out + "<p>No edits: the model’s own routing throughout.</p>\n";
  out += "<ol class=\"timeline\">\n";
  if (input.steps.front().token > 0) {
    out += "<li><b>from token 0</b>: the model’s own routing</li>\n";
  }
  const std::size_t shown = std::min(input.steps.size(), kMostRowsOfATable);
  for (std::size_t i = 0; i < shown; ++i) {
    const PolicyStep& step = input.steps[i];
    out += fmt::format("<li><b>from token {}</b>{}</li>\n", grouped(step.token), edits_html(step));
  }
  const std::string more = and_more(input.steps.size(), shown);
  if (!more.empty()) out += "<li class=\"note\">…" + more + "</li>\n";
  return out + "</ol>\n";
}

}  // namespace expertscope::report
