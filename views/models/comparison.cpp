// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/comparison.h"

#include <algorithm>
#include <utility>

#include "engine/run/routing_guard.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "probes/measure/divergence.h"

namespace expertscope {
namespace {

struct SideRun {
  std::shared_ptr<const RoutingTable> table;
  std::string name;  ///< "without the edits"
  double begin = 0;  ///< progress fraction at the start
  double end = 1;
  const Dataset* data = nullptr;  ///< null: no perplexity
};

Result<ComparisonSide> run_side(Session& session, const ComparisonRequest& request,
                                std::span<const std::int32_t> prompt, const SideRun& run,
                                const ComparisonProgress& progress, const std::stop_token& stop) {
  session.set_routing(run.table);
  ComparisonSide side;
  const double half = run.data == nullptr ? run.end : (run.begin + run.end) / 2;
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
  if (run.data == nullptr) return side;

  auto scored = text_perplexity(
      session, *run.data, request.perplexity,
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

/// Mean KL over a token stream that both sides read; nothing where the session has room for one side only.
Status measure_divergence(Session& session, std::span<const std::int32_t> tokens, ComparisonResult& result,
                          const std::stop_token& stop) {
  if (session.options().max_sequences < 2 || tokens.empty()) return {};
  tokens = tokens.first(
      std::min<std::size_t>(tokens.size(), static_cast<std::size_t>(session.options().max_context)));
  const auto divergence = policy_divergence(session, tokens, {nullptr, result.request.edited}, {}, stop);
  if (!divergence) return forward_error(divergence);
  result.kl_mean = divergence->kl_mean();
  result.kl_tokens = divergence->tokens;
  return {};
}

}  // namespace

Result<std::vector<std::int32_t>> encode_prompt(const Model& model, const std::string& prompt,
                                                bool chat_template) {
  const auto tokenizer = model.require_tokenizer();
  if (!tokenizer) return forward_error(tokenizer);
  if (!chat_template) return (*tokenizer)->encode(prompt);
  const auto chat = model.require_chat_template();
  if (!chat) return forward_error(chat);
  const auto rendered = (*chat)->render({{"user", prompt}});
  if (!rendered) return forward_error(rendered);
  return (*tokenizer)->encode(*rendered, false);
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
  Result<Dataset> data;
  if (!request.text.empty()) data = Dataset::open(request.text, {}, stop);
  if (!data) return forward_error(data);
  const Dataset* text = request.text.empty() ? nullptr : &*data;
  const RoutingGuard guard(session);
  ComparisonResult result;
  result.request = request;
  auto before =
      run_side(session, request, *prompt, {nullptr, "without the edits", 0.0, 0.45, text}, progress, stop);
  if (!before) return forward_error(before);
  auto after = run_side(session, request, *prompt, {request.edited, "with the edits", 0.45, 0.9, text},
                        progress, stop);
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
  comparison.kl_tokens = kl_tokens;
  if (request.edited) comparison.policy_json = request.edited->policy_json;
  comparison.prompt = request.prompt;
  comparison.text_before = before.generated.text;
  comparison.text_after = after.generated.text;
  return comparison;
}

}  // namespace expertscope
