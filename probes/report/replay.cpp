// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/replay.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "engine/run/routing_policy.h"

namespace expertscope {
namespace {

// Tokens read at a time: a row of the trace is much larger than the id that is kept of it.
constexpr std::int64_t kChunk = 1 << 16;

Status read_sequences(const TraceReader& trace, std::int64_t most_tokens, Replay& replay) {
  std::map<int, std::size_t> place;  // of a sequence number
  const std::int64_t most = most_tokens > 0 ? most_tokens : INT64_MAX;
  for (std::int64_t begin = 0; begin < most;) {
    const auto tokens =
        trace.tokens(replay.before.id, {begin, begin + std::min(kChunk, most - begin)}, TokenWords::without);
    if (!tokens) return forward_error(tokens);
    if (tokens->empty()) break;
    for (const TokenRow& token : *tokens) {
      const auto [known, added] = place.try_emplace(token.sequence, replay.sequences.size());
      if (added) replay.sequences.emplace_back();
      auto& sequence = replay.sequences[known->second];
      if (token.position != static_cast<int>(sequence.size())) {
        return fail(ErrorCode::unsupported,
                    "{}: run {} lacks tokens of sequence {} before position {} (a live view drops what it "
                    "cannot keep up with), so it cannot be run again",
                    trace.file().string(), replay.before.id, token.sequence, token.position);
      }
      sequence.push_back(token.id);
      replay.longest = std::max(replay.longest, static_cast<int>(sequence.size()));
    }
    replay.tokens += static_cast<std::int64_t>(tokens->size());
    begin += static_cast<std::int64_t>(tokens->size());
  }
  if (replay.tokens > 0) return {};
  return fail(ErrorCode::invalid_argument, "{}: run {} has no token to run again", trace.file().string(),
              replay.before.id);
}

Result<std::string> last_policy(const TraceReader& trace, std::int64_t run) {
  const auto changes = trace.policy_changes(run);
  if (!changes) return forward_error(changes);
  return changes->empty() ? std::string() : changes->back().policy_json;
}

Status check_model(const ModelIdentity& model, const RunInfo& run) {
  if (model.config_sha256 == run.model.config_sha256 && model.total_bytes == run.model.total_bytes) return {};
  return fail(ErrorCode::mismatch,
              "{}: not the model of run {} ({}): its config.json or the size of its weights differs",
              model.path, run.id, run.model.path);
}

Result<std::shared_ptr<const RoutingTable>> compile(const std::string& policy_json, const RunInfo& run,
                                                    const ModelConfig& config) {
  if (policy_json.empty()) return std::shared_ptr<const RoutingTable>();
  const std::string name = fmt::format("the policy of run {}", run.id);
  const auto policy = RoutingPolicy::from_json(policy_json, name);
  if (!policy) return forward_error(policy);
  auto table = policy->compile(config);
  if (!table) return fail(table.error().code, "{}: {}", name, table.error().message);
  return table;
}

}  // namespace

Result<Replay> read_replay(const TraceReader& baseline, std::int64_t baseline_run, const TraceReader& trace,
                           std::int64_t run, std::int64_t most_tokens) {
  Replay replay;
  auto before = baseline.run(baseline_run);
  if (!before) return forward_error(before);
  replay.before = std::move(*before);
  auto after = trace.run(run);
  if (!after) return forward_error(after);
  replay.after = std::move(*after);
  auto policy_before = last_policy(baseline, baseline_run);
  if (!policy_before) return forward_error(policy_before);
  replay.policy_before = std::move(*policy_before);
  auto policy_after = last_policy(trace, run);
  if (!policy_after) return forward_error(policy_after);
  replay.policy_after = std::move(*policy_after);
  if (auto read = read_sequences(baseline, most_tokens, replay); !read) return forward_error(read);
  return replay;
}

Result<ReportDivergence> replay_divergence(Session& session, const Replay& replay,
                                           const DivergenceProgress& progress, const std::stop_token& stop) {
  for (const RunInfo* run : {&replay.before, &replay.after}) {
    if (auto same = check_model(session.model().identity(), *run); !same) return forward_error(same);
  }
  RoutingPair routing;
  auto before = compile(replay.policy_before, replay.before, session.model().config());
  if (!before) return forward_error(before);
  routing.before = std::move(*before);
  auto after = compile(replay.policy_after, replay.after, session.model().config());
  if (!after) return forward_error(after);
  routing.after = std::move(*after);

  Divergence sum;
  for (const auto& sequence : replay.sequences) {
    const auto report = [&](std::int64_t done) {
      if (progress) progress(sum.tokens + done);
    };
    const auto part = policy_divergence(session, sequence, routing, report, stop);
    if (!part) return forward_error(part);
    sum.kl_sum += part->kl_sum;
    sum.tokens += part->tokens;
  }
  return ReportDivergence{sum.kl_mean(), sum.tokens, replay.before.tokens, session.backend_description()};
}

}  // namespace expertscope
