// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/comparison.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/model/log_prob.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace expertscope {
namespace {

constexpr int kReferenceSlot = 0;
constexpr int kEditedSlot = 1;
constexpr int kDivergenceChunk = 32;  // tokens a step: their logits fit in memory for any vocabulary

/// Puts back the routing a session had.
class RoutingGuard {
 public:
  explicit RoutingGuard(Session& session) : session_(session), table_(session.routing()) {}
  ~RoutingGuard() { session_.set_routing(table_); }
  RoutingGuard(const RoutingGuard&) = delete;
  RoutingGuard& operator=(const RoutingGuard&) = delete;

 private:
  Session& session_;
  std::shared_ptr<const RoutingTable> table_;
};

struct SideRun {
  std::shared_ptr<const RoutingTable> table;
  std::string name;  ///< "without the edits"
  double begin = 0;  ///< progress fraction at the start
  double end = 1;
};

Result<ComparisonSide> run_side(Session& session, const ComparisonRequest& request,
                                std::span<const std::int32_t> prompt, const SideRun& run,
                                const ComparisonProgress& progress, const std::stop_token& stop) {
  session.set_routing(run.table);
  ComparisonSide side;
  const double half = request.text.empty() ? run.end : (run.begin + run.end) / 2;
  const auto on_token = [&](const GeneratedToken& token) {
    const double done = static_cast<double>(token.index) / std::max(1, request.options.max_tokens);
    if (progress) progress("generating " + run.name, run.begin + (half - run.begin) * done);
  };
  auto generated = generate(session, prompt, request.options, on_token, stop);
  if (!generated) return forward_error(generated);
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
  side.generated = std::move(*generated);
  for (const std::int32_t id : side.generated.ids) {
    side.token_bytes.push_back(session.model().tokenizer()->token_bytes(id));
  }
  if (request.text.empty()) return side;

  const auto data = Dataset::open(request.text);
  if (!data) return forward_error(data);
  auto scored = text_perplexity(
      session, *data, request.perplexity,
      [&](std::int64_t done, std::int64_t total, double) {
        if (progress)
          progress("perplexity " + run.name,
                   half + (run.end - half) * static_cast<double>(done) /
                              static_cast<double>(std::max<std::int64_t>(1, total)));
      },
      stop);
  if (!scored) return forward_error(scored);
  side.perplexity = std::move(*scored);
  return side;
}

/// KL(p || q) in nats of two rows of logits.
double kl_divergence(std::span<const float> p, std::span<const float> q) {
  const double p_norm = log_sum_exp(p);
  const double q_norm = log_sum_exp(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double log_p = p[i] - p_norm;
    sum += std::exp(log_p) * (log_p - (q[i] - q_norm));
  }
  return std::max(sum, 0.0);
}

Result<std::vector<float>> step_with(Session& session, std::shared_ptr<const RoutingTable> table, int slot,
                                     std::span<const std::int32_t> tokens) {
  session.set_routing(std::move(table));
  Batch batch;
  batch.tokens.assign(tokens.begin(), tokens.end());
  batch.chunks.push_back({slot, 0, static_cast<int>(tokens.size())});
  batch.logits = LogitsWanted::all;
  const auto logits = session.step(std::move(batch));
  if (!logits) return forward_error(logits);
  return std::vector<float>(logits->begin(), logits->end());
}

/// Mean KL over a token stream, both sides reading the same tokens (teacher forcing).
Status measure_divergence(Session& session, std::span<const std::int32_t> tokens, ComparisonResult& result,
                          const std::stop_token& stop) {
  if (session.options().max_sequences <= kEditedSlot) return {};
  tokens = tokens.first(
      std::min<std::size_t>(tokens.size(), static_cast<std::size_t>(session.options().max_context)));
  for (const int slot : {kReferenceSlot, kEditedSlot}) {
    if (auto ok = session.truncate(slot, 0); !ok) return ok;
  }
  const auto vocab = static_cast<std::size_t>(session.model().config().vocab_size);
  const auto chunk = static_cast<std::size_t>(std::min(kDivergenceChunk, session.options().max_batch));
  double sum = 0;
  for (std::size_t at = 0; at < tokens.size(); at += chunk) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
    const auto part = tokens.subspan(at, std::min(chunk, tokens.size() - at));
    const auto before = step_with(session, nullptr, kReferenceSlot, part);
    if (!before) return forward_error(before);
    const auto after = step_with(session, result.request.edited, kEditedSlot, part);
    if (!after) return forward_error(after);
    for (std::size_t row = 0; row < part.size(); ++row) {
      sum += kl_divergence(std::span(*before).subspan(row * vocab, vocab),
                           std::span(*after).subspan(row * vocab, vocab));
    }
  }
  if (!tokens.empty()) result.kl_mean = sum / static_cast<double>(tokens.size());
  result.kl_tokens = static_cast<std::int64_t>(tokens.size());
  return {};
}

}  // namespace

Result<std::vector<std::int32_t>> encode_prompt(const Model& model, const std::string& prompt,
                                                bool chat_template) {
  if (model.tokenizer() == nullptr) {
    return fail(ErrorCode::unsupported, "{} has no tokenizer.json, so a text prompt cannot be read",
                model.identity().path);
  }
  if (!chat_template) return model.tokenizer()->encode(prompt);
  if (model.chat_template() == nullptr) {
    return fail(ErrorCode::unsupported,
                "{} has no chat template this program understands; use the raw prompt",
                model.identity().path);
  }
  const std::string rendered = model.chat_template()->render({{"user", prompt}});
  return model.tokenizer()->encode(rendered, false);
}

int first_difference(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  const auto at = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (at.first == a.end() && at.second == b.end()) return -1;
  return static_cast<int>(at.first - a.begin());
}

Result<ComparisonResult> run_comparison(Session& session, const ComparisonRequest& request,
                                        const ComparisonProgress& progress, const std::stop_token& stop) {
  const auto prompt = encode_prompt(session.model(), request.prompt, request.chat_template);
  if (!prompt) return forward_error(prompt);
  const RoutingGuard guard(session);
  ComparisonResult result;
  result.request = request;
  auto before =
      run_side(session, request, *prompt, {nullptr, "without the edits", 0.0, 0.45}, progress, stop);
  if (!before) return forward_error(before);
  auto after =
      run_side(session, request, *prompt, {request.edited, "with the edits", 0.45, 0.9}, progress, stop);
  if (!after) return forward_error(after);
  result.before = std::move(*before);
  result.after = std::move(*after);
  result.first_difference = first_difference(result.before.generated.ids, result.after.generated.ids);

  if (progress) progress("divergence of the distributions", 0.92);
  std::vector<std::int32_t> tokens = *prompt;
  tokens.insert(tokens.end(), result.before.generated.ids.begin(), result.before.generated.ids.end());
  if (auto ok = measure_divergence(session, tokens, result, stop); !ok) return forward_error(ok);
  return result;
}

ReportComparison ComparisonResult::for_report() const {
  ReportComparison comparison;
  comparison.text_name = request.text.filename().string();
  if (before.perplexity) comparison.perplexity_before = before.perplexity->result.perplexity;
  if (after.perplexity) comparison.perplexity_after = after.perplexity->result.perplexity;
  if (before.perplexity) comparison.protocol = protocol_name(before.perplexity->options.protocol);
  comparison.kl_mean = kl_mean;
  comparison.prompt = request.prompt;
  comparison.text_before = before.generated.text;
  comparison.text_after = after.generated.text;
  return comparison;
}

}  // namespace expertscope
