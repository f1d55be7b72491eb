// SPDX-License-Identifier: GPL-3.0-or-later
#include <cmath>
#include <limits>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

void add_token(float log_prob, bool generated, RecordedLikelihood& likelihood, double& sum) {
  if (std::isnan(log_prob) || generated) return;
  sum -= static_cast<double>(log_prob);
  ++likelihood.tokens;
}

/// One for each domain, and the last for tokens without.
std::vector<RecordedLikelihood> likelihood_of_domains(const RunTokens& tokens) {
  std::vector<RecordedLikelihood> likelihood(tokens.domains.size() + 1);
  std::vector<double> sums(likelihood.size());
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    const std::size_t domain = tokens.domain[at] < 0 ? tokens.domains.size() : tokens.domain[at];
    add_token(tokens.log_prob[at], tokens.generated[at] != 0, likelihood[domain], sums[domain]);
  }
  for (std::size_t domain = 0; domain < sums.size(); ++domain) {
    if (likelihood[domain].tokens > 0)
      likelihood[domain].nll_mean = sums[domain] / static_cast<double>(likelihood[domain].tokens);
  }
  return likelihood;
}

Table empty_table() {
  return {
      "domains",
      "Likelihood by domain",
      TableKey::domain,
      {{"domain", "domain", ColumnType::text, "", "Of the documents; missing for those without one."},
       {"tokens", "tokens", ColumnType::integer, "tokens", "Tokens with a log-probability, not generated."},
       {"nll_mean", "mean", ColumnType::number, "nats", "Mean negative log-likelihood of a token."},
       {"perplexity", "perplexity", ColumnType::number, "", "exp of it."}}};
}

std::vector<NamedValue> values_of(const RecordedLikelihood& all) {
  const double mean = all.tokens > 0 ? all.nll_mean : std::numeric_limits<double>::quiet_NaN();
  return {{{"tokens", "tokens", ColumnType::integer, "tokens", "All of them."}, all.tokens},
          {{"nll_mean", "mean negative log-likelihood", ColumnType::number, "nats", "Over all."}, mean},
          {{"perplexity", "perplexity", ColumnType::number, "", "exp of it."}, std::exp(mean)}};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options&,
                           const std::stop_token& stop) {
  const auto found = data.tokens(range);
  if (!found) return forward_error(found);
  if (auto status = go_on(stop); !status) return forward_error(status);
  const RunTokens& tokens = **found;
  AnalysisResult result;
  result.values = values_of(recorded_likelihood(tokens));
  Table& table = result.tables.emplace_back(empty_table());
  const std::vector<RecordedLikelihood> of_domain = likelihood_of_domains(tokens);
  for (std::size_t domain = 0; domain < of_domain.size(); ++domain) {
    const RecordedLikelihood& one = of_domain[domain];
    if (one.tokens == 0) continue;
    std::optional<std::string> name;
    if (domain < tokens.domains.size()) name = tokens.domains[domain];
    table.add_row(std::move(name), one.tokens, one.nll_mean, std::exp(one.nll_mean));
  }
  return result;
}

}  // namespace

RecordedLikelihood recorded_likelihood(const RunTokens& tokens) {
  RecordedLikelihood likelihood;
  double sum = 0;
  for (std::size_t at = 0; at < tokens.size(); ++at)
    add_token(tokens.log_prob[at], tokens.generated[at] != 0, likelihood, sum);
  if (likelihood.tokens > 0) likelihood.nll_mean = sum / static_cast<double>(likelihood.tokens);
  return likelihood;
}

Analysis likelihood_analysis() {
  return {
      "likelihood",
      "Likelihood of the recorded text",
      "nll_mean: mean of -ln p of the tokens that came, each given its own sequence, over those with a "
      "log-probability that were not generated. perplexity: exp of it. Not comparable with the protocols of "
      "ppl, which cut the text otherwise.",
      "",
      {Input::log_prob},
      {},
      {empty_table()},
      run};
}

}  // namespace expertscope
