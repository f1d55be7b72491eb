// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <unordered_map>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"
#include "probes/analysis/statistics.h"

namespace expertscope {
namespace {

// RatioSums of one layer have to fit into memory, 50 MB, and all rows: 160 MB.
constexpr std::size_t kMostCells = std::size_t{1} << 20;
constexpr std::size_t kMostRows = 2'000'000;
constexpr double kConfidence = 0.95;

/// Slots of one layer by domain and expert, with whole sequences as the units that are drawn.
class LayerCounts {
 public:
  LayerCounts(const RunTokens& tokens, int experts)
      : tokens_(&tokens),
        experts_(static_cast<std::size_t>(experts)),
        sums_(tokens.domains.size() * experts_),
        left_of_(tokens_of_sequences(tokens)) {}

  void add(const SlotBlock& slots) {
    const auto width = static_cast<std::size_t>(slots.slots);
    for (int i = 0; i < slots.tokens; ++i) {
      const std::size_t at = tokens_->at(slots.first_token + i);
      if (tokens_->domain[at] < 0) continue;
      add_token(at, slots.expert.subspan(i * width, width));
    }
  }

  const RatioSums& sums(std::size_t domain, std::size_t expert) const {
    return sums_[domain * experts_ + expert];
  }

 private:
  /// Experts of the slots of a sequence so far: no more than the trace has, however many sequences are open.
  using Sequence = std::vector<std::uint16_t>;

  static std::unordered_map<int, std::int64_t> tokens_of_sequences(const RunTokens& tokens) {
    std::unordered_map<int, std::int64_t> counts;
    for (const std::int32_t sequence : tokens.sequence)
      ++counts[sequence];
    return counts;
  }

  void add_token(std::size_t at, std::span<const std::uint16_t> chosen) {
    const int number = tokens_->sequence[at];
    Sequence& sequence = open_[number];
    for (const std::uint16_t expert : chosen)
      if (expert != kNoExpert) sequence.push_back(expert);
    // Sequences that share steps of a profile lie between each other: each is a unit once it is complete.
    if (--left_of_[number] > 0) return;
    close(static_cast<std::size_t>(tokens_->domain[at]), sequence);
    open_.erase(number);
  }

  void close(std::size_t domain, const Sequence& sequence) {
    if (sequence.empty()) return;
    std::vector<std::int32_t> count(experts_);
    for (const std::uint16_t expert : sequence)
      ++count[expert];
    for (std::size_t expert = 0; expert < experts_; ++expert)
      sums_[domain * experts_ + expert].add(count[expert], static_cast<double>(sequence.size()));
  }

  const RunTokens* tokens_;
  std::size_t experts_;
  std::vector<RatioSums> sums_;  ///< [domains, experts]
  std::unordered_map<int, std::int64_t> left_of_;
  std::unordered_map<int, Sequence> open_;
};

/// A difference of shares, with its interval; NaN where it is not known.
struct Difference {
  double value = 0;
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

/// `square`: of the variances of the parts, over their degrees of freedom (Welch, Satterthwaite).
Difference with_interval(double value, double variance, double square) {
  Difference result{value};
  if (!std::isfinite(variance)) return result;
  const double t = variance > 0 && square > 0
                       ? student_t_quantile(0.5 + kConfidence / 2, variance * variance / square)
                       : 0;
  result.low = value - t * std::sqrt(std::max(variance, 0.0));
  result.high = value + t * std::sqrt(std::max(variance, 0.0));
  return result;
}

/// What all domains' shares of one expert add up to; they are drawn independently of each other.
struct AllDomains {
  RatioSums together;  ///< the sequences of all domains as one sample
  double domains = 0;
  double share_sum = 0;
  double variance_sum = 0;
  double square_sum = 0;  ///< of the squared variances over their degrees of freedom

  static double square(const RatioSums& sums) {
    return sums.variance() * sums.variance() / static_cast<double>(sums.units - 1);
  }
  void add(const RatioSums& sums) {
    together += sums;
    domains += 1;
    share_sum += sums.ratio();
    variance_sum += sums.variance();
    square_sum += square(sums);
  }
};

/// The domain's own share has the factor 1 - 1/D in the difference, that of every other one -1/D.
Difference difference_from_mean(const RatioSums& sums, const AllDomains& all) {
  const double own = (1 - 1 / all.domains) * (1 - 1 / all.domains);
  const double other = 1 / (all.domains * all.domains);
  const double own_variance = sums.variance();
  const double own_square = AllDomains::square(sums);
  const double variance = own * own_variance + other * (all.variance_sum - own_variance);
  return with_interval(sums.ratio() - all.share_sum / all.domains, variance,
                       own * own * own_square + other * other * (all.square_sum - own_square));
}

/// share_d - that of all other domains together, whose sequences are one sample.
Difference difference_from_others(const RatioSums& sums, const RatioSums& others) {
  return with_interval(sums.ratio() - others.ratio(), sums.variance() + others.variance(),
                       AllDomains::square(sums) + AllDomains::square(others));
}

Table expert_table() {
  constexpr auto kNumber = ColumnType::number;
  return {
      "experts",
      "Load by domain",
      TableKey::domain_expert,
      {layer_column(),
       expert_column(),
       {"domain", "domain", ColumnType::text, "", "Of the documents."},
       {"count", "slots", ColumnType::integer, "slots", "Slots of the expert in tokens of the domain."},
       {"share", "share", kNumber, "share", "Of the domain's slots of the layer."},
       {"difference", "difference", kNumber, "share", "The share minus the mean over the domains."},
       {"low", "from", kNumber, "share", "Lower end of the 95 % interval of the difference."},
       {"high", "to", kNumber, "share", "Upper end of it."},
       {"specialisation", "specialisation", kNumber, "share", "OLMoE's: share x top-k; uniform: top-k / E."},
       {"others", "others", kNumber, "share", "Of the slots of the layer in all other domains together."},
       {"against_others", "against others", kNumber, "share", "The share minus that of the others."},
       {"against_low", "from", kNumber, "share", "Lower end of the 95 % interval of that difference."},
       {"against_high", "to", kNumber, "share", "Upper end of it."}},
      "difference"};
}

void add_rows(const LayerCounts& counts, const RunTokens& tokens, const RunInfo& run, int layer,
              Table& table) {
  for (int expert = 0; expert < run.experts; ++expert) {
    AllDomains all;
    for (std::size_t domain = 0; domain < tokens.domains.size(); ++domain)
      all.add(counts.sums(domain, expert));
    for (std::size_t domain = 0; domain < tokens.domains.size(); ++domain) {
      const RatioSums& sums = counts.sums(domain, expert);
      const Difference difference = difference_from_mean(sums, all);
      RatioSums others = all.together;
      others -= sums;
      const Difference against = difference_from_others(sums, others);
      table.add_row(layer, expert, tokens.domains[domain], static_cast<std::int64_t>(sums.x), sums.ratio(),
                    difference.value, difference.low, difference.high, sums.ratio() * run.top_k,
                    others.ratio(), against.value, against.low, against.high);
    }
  }
}

Table domain_table() {
  return {"domains",
          "Domains",
          TableKey::domain,
          {{"domain", "domain", ColumnType::text, "", "Of the documents."},
           {"tokens", "tokens", ColumnType::integer, "tokens", "Tokens of it."},
           {"sequences", "sequences", ColumnType::integer, "sequences", "Sequences of it: the units."}}};
}

void list_domains(const RunTokens& tokens, Table& table) {
  std::vector<std::int64_t> count(tokens.domains.size());
  std::vector<std::int64_t> sequences(tokens.domains.size());
  std::unordered_map<int, bool> seen;
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    if (tokens.domain[at] < 0) continue;
    ++count[tokens.domain[at]];
    if (seen.emplace(tokens.sequence[at], true).second) ++sequences[tokens.domain[at]];
  }
  for (std::size_t domain = 0; domain < count.size(); ++domain)
    table.add_row(tokens.domains[domain], count[domain], sequences[domain]);
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options& options,
                           const std::stop_token& stop) {
  const auto chosen = data.moe_layers(options.integer("layer"));
  if (!chosen) return forward_error(chosen);
  const auto found = data.tokens(range);
  if (!found) return forward_error(found);
  const RunTokens& tokens = **found;
  const RunInfo& info = data.info();
  const std::vector<int>& layers = *chosen;
  const std::size_t cells = tokens.domains.size() * static_cast<std::size_t>(info.experts);
  if (cells > kMostCells || cells * layers.size() > kMostRows) {
    return fail(ErrorCode::unsupported, "domains: {} domains x {} experts x {} layers are too many rows",
                tokens.domains.size(), info.experts, layers.size());
  }
  AnalysisResult result;
  result.values.push_back({{"uniform", "uniform specialisation", ColumnType::number, "share",
                            "top-k / experts: what each expert would have if all were alike."},
                           static_cast<double>(info.top_k) / info.experts});
  result.tables = {domain_table(), expert_table()};
  list_domains(tokens, result.tables.front());
  for (const int layer : layers) {
    LayerCounts counts(tokens, info.experts);
    const auto add = [&counts](const SlotBlock& slots) { counts.add(slots); };
    if (auto status = data.visit_slots(layer, range, SlotWeights::without, stop, add); !status)
      return forward_error(status);
    add_rows(counts, tokens, info, layer, result.tables.back());
  }
  return result;
}

}  // namespace

Analysis domains_analysis() {
  return {
      "domains",
      "Load by domain",
      "share: slots of the expert in tokens of a domain / all slots of the layer in them. difference: share "
      "minus the mean of the shares over the domains (each domain weighs alike). Its 95 % interval takes "
      "whole sequences as drawn, and not tokens, which are no independent draws inside a document: the "
      "variance of a share is that of a ratio, m/(m-1) sum_s (x_s - share n_s)^2 / (sum_s n_s)^2 over the m "
      "sequences, the domains add up as independent ones, and Student's t has Welch and Satterthwaite's "
      "degrees of freedom. against_others: share minus that of all other domains together, whose sequences "
      "are "
      "one sample, with the same kind of interval. Missing where a domain has a single sequence. Of many "
      "experts, one in twenty is "
      "outside its interval by chance. specialisation: share x top-k, as OLMoE's domain specialisation.",
      "N. Muennighoff et al. 2024 (OLMoE), arXiv 2409.02060; interval: W. G. Cochran, Sampling Techniques, "
      "1977",
      {Input::selections, Input::domains},
      {{"layer", ColumnType::integer, std::int64_t{-1}, "The layer; -1: all.", -1, 1e6}},
      {domain_table(), expert_table()},
      run,
      {},
      true};
}

}  // namespace expertscope
