// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/run_differences.h"

#include <fmt/format.h>

#include <algorithm>

namespace expertscope {
namespace {

constexpr std::int64_t kTokensLookedAt = 4096;

std::string or_none(const std::string& text) {
  return text.empty() ? "none" : text;
}

/// Collects what differs.
class Differences {
 public:
  void add_if(bool differs, const char* what, const char* sentence, const std::string& before,
              const std::string& after) {
    if (!differs) return;
    found.push_back(
        {what, fmt::format("{}: {} before, {} after", sentence, or_none(before), or_none(after))});
  }

  std::vector<RunDifference> found;
};

void compare_data(const RunInfo& before, const RunInfo& after, Differences& differences) {
  if (before.kind != after.kind) {
    differences.add_if(true, "kind of run", "One run generated, the other read a text", before.kind,
                       after.kind);
    return;
  }
  if (before.kind != "generate") {
    differences.add_if(before.dataset_sha256 != after.dataset_sha256, "data", "The data differ (SHA-256)",
                       before.dataset_sha256, after.dataset_sha256);
    return;
  }
  if (before.prompt != after.prompt) {
    differences.found.push_back({"prompt", "The prompts of the two runs differ"});
  }
}

bool same_place(const TokenRow& a, const TokenRow& b) {
  return a.id == b.id && a.sequence == b.sequence && a.position == b.position;
}

}  // namespace

std::vector<RunDifference> run_differences(const RunInfo& before, const RunInfo& after) {
  Differences differences;
  differences.add_if(before.model.config_sha256 != after.model.config_sha256, "model",
                     "The models differ (config.json)", before.model.config_sha256,
                     after.model.config_sha256);
  differences.add_if(before.model.total_bytes != after.model.total_bytes, "weights",
                     "The weights differ in size (bytes)", std::to_string(before.model.total_bytes),
                     std::to_string(after.model.total_bytes));
  compare_data(before, after, differences);
  differences.add_if(before.math != after.math, "arithmetic", "The arithmetic differs", before.math,
                     after.math);
  differences.add_if(before.kind == after.kind && before.sampling != after.sampling, "sampling",
                     "The sampling settings differ", before.sampling, after.sampling);
  differences.add_if(before.tokens != after.tokens, "length", "The runs differ in length (tokens)",
                     std::to_string(before.tokens), std::to_string(after.tokens));
  for (const auto* run : {&before, &after}) {
    if (run->dropped_tokens == 0) continue;
    differences.found.push_back(
        {"dropped tokens",
         fmt::format("{} tokens of run {} were dropped and are in no number", run->dropped_tokens, run->id)});
  }
  return std::move(differences.found);
}

Result<std::vector<RunDifference>> run_differences(const TraceReader& before_trace, const RunInfo& before,
                                                   const TraceReader& after_trace, const RunInfo& after) {
  std::vector<RunDifference> found = run_differences(before, after);
  const bool same_data = before.kind == after.kind && before.dataset_sha256 == after.dataset_sha256;
  if (!same_data) return found;
  const auto a = before_trace.tokens(before.id, {0, kTokensLookedAt});
  if (!a) return forward_error(a);
  const auto b = after_trace.tokens(after.id, {0, kTokensLookedAt});
  if (!b) return forward_error(b);
  const auto [x, y] = std::mismatch(a->begin(), a->end(), b->begin(), b->end(), same_place);
  if (x == a->end() || y == b->end() || (x->generated && y->generated)) return found;
  found.push_back({"tokens read",
                   fmt::format("The same data were read as other tokens, from token {} on: with another chat "
                               "template, tokenizer or window",
                               x->index)});
  return found;
}

}  // namespace expertscope
