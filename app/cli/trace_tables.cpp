// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/trace_tables.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <vector>

#include "app/cli/console.h"

namespace expertscope::cli {
namespace {

/// Experts named in a line of the load table.
constexpr std::size_t kBusiest = 4;
/// Lines of the ranking below the super experts.
constexpr std::size_t kRankingLines = 10;

std::string busiest_experts(const LayerLoad& layer) {
  std::vector<std::size_t> order(layer.count.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return layer.count[a] > layer.count[b]; });
  order.resize(std::min(order.size(), kBusiest));
  std::string text;
  for (const std::size_t expert : order) {
    text += fmt::format("{}{} ({:.1f} %)", text.empty() ? "" : "  ", expert, 100 * layer.share[expert]);
  }
  return text;
}

std::string super_expert_line(const SuperExpert& expert) {
  return fmt::format("{:>4}  {:>5}  {:>6}  {:>12.4f}  {:>7}  {:>12}  {:>12}\n", expert.rank, expert.layer,
                     expert.expert == kSharedExpert ? "shared" : std::to_string(expert.expert),
                     expert.output_max, expert.channel, format_count(expert.token),
                     format_count(expert.count));
}

}  // namespace

Result<RunInfo> select_run(const TraceReader& trace, std::int64_t run) {
  auto runs = trace.runs();
  if (!runs) return forward_error(runs);
  if (runs->empty())
    return fail(ErrorCode::invalid_argument, "{}: the trace holds no run", trace.file().string());
  const auto by_id = [](const RunInfo& a, const RunInfo& b) { return a.id < b.id; };
  if (run == 0) return *std::max_element(runs->begin(), runs->end(), by_id);
  std::string ids;
  for (const RunInfo& info : *runs) {
    if (info.id == run) return info;
    fmt::format_to(std::back_inserter(ids), "{}{}", ids.empty() ? "" : ", ", info.id);
  }
  return fail(ErrorCode::invalid_argument, "{}: there is no run {}; the trace has {}", trace.file().string(),
              run, ids);
}

std::string to_table(const LoadResult& result) {
  std::string text = fmt::format("{} tokens\n", format_count(result.tokens));
  text += heading(fmt::format("{:>5}  {:>12}  {:>4}  {:>8}  {:>6}  {}", "layer", "slots", "dead", "max/mean",
                              "Jain", "busiest experts")) +
          "\n";
  for (const LayerLoad& layer : result.layers) {
    const std::int64_t slots = std::accumulate(layer.count.begin(), layer.count.end(), std::int64_t{0});
    text += fmt::format("{:>5}  {:>12}  {:>4}  {:>8.2f}  {:>6.3f}  {}\n", layer.layer, format_count(slots),
                        layer.dead_experts, layer.max_over_mean, layer.jain, busiest_experts(layer));
  }
  return text;
}

std::string to_table(const SuperExpertResult& result) {
  std::string text = fmt::format(
      "{} definition, first {} layers, max |down_proj output| above {:.4f} (percentile {}) and {} (maximum / "
      "{})\n",
      result.options.definition == SuperExpertDefinition::paper ? "paper" : "upstream",
      result.layers_included, result.percentile_threshold, result.options.percentile, result.max_threshold,
      result.options.max_divisor);
  const std::string columns = fmt::format("{:>4}  {:>5}  {:>6}  {:>12}  {:>7}  {:>12}  {:>12}\n", "rank",
                                          "layer", "expert", "output max", "channel", "at token", "routed");
  text += "\n" +
          heading(fmt::format("{} super expert{}", result.super_experts.size(),
                              result.super_experts.size() == 1 ? "" : "s")) +
          "\n";
  if (!result.super_experts.empty()) text += columns;
  for (const SuperExpert& expert : result.super_experts)
    text += super_expert_line(expert);
  text += "\n" + heading("largest of all layers") + "\n" + columns;
  const std::size_t lines = std::min(result.ranking.size(), kRankingLines);
  for (std::size_t i = 0; i < lines; ++i)
    text += super_expert_line(result.ranking[i]);
  return text;
}

std::string to_table(const EntropyResult& result) {
  std::string text = heading(fmt::format("{:>5}  {:>12}  {:>8}  {:>8}  {:>8}  {:>10}", "layer", "tokens",
                                         "mean", "min", "max", "normalised")) +
                     "\n";
  for (const LayerEntropy& layer : result.layers) {
    text += fmt::format("{:>5}  {:>12}  {:>8.4f}  {:>8.4f}  {:>8.4f}  {:>10.4f}\n", layer.layer,
                        format_count(layer.tokens), layer.mean, layer.min, layer.max, layer.normalised);
  }
  return text + "entropy of the router's scores in nats; normalised: divided by ln(experts)\n";
}

std::string to_table(const AttentionResult& result) {
  std::string text =
      heading(fmt::format("{:>5}  {:>12}  {:>8}  {:>8}  {:>8}", "layer", "tokens", "mean", "min", "max")) +
      "\n";
  for (const LayerAttention& layer : result.layers) {
    text += fmt::format("{:>5}  {:>12}  {:>8.4f}  {:>8.4f}  {:>8.4f}\n", layer.layer,
                        format_count(layer.tokens), layer.mean, layer.min, layer.max);
  }
  return text + "attention on the first token of the sequence, mean over the query heads\n";
}

}  // namespace expertscope::cli
