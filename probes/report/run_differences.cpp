// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/run_differences.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/formats/json_fields.h"
#include "probes/analysis/run_data.h"

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

/// "temperature 0.7 before, 1.0 after, seed 1 before, 4 after": the settings that differ, or both wholes
/// where one cannot be read.
std::string sampling_difference(const std::string& before, const std::string& after) {
  const auto a = parse_json(before, "the sampling settings");
  const auto b = parse_json(after, "the sampling settings");
  if (!a || !b || !a->is_object() || !b->is_object())
    return fmt::format("{} before, {} after", or_none(before), or_none(after));
  std::vector<std::string> settings;
  for (const auto& [key, value] : b->items()) {
    const auto old = a->find(key);
    if (old != a->end() && *old == value) continue;
    settings.push_back(
        fmt::format("{} {} before, {} after", key, old == a->end() ? "none" : old->dump(), value.dump()));
  }
  for (const auto& [key, value] : a->items()) {
    if (!b->contains(key)) settings.push_back(fmt::format("{} {} before, none after", key, value.dump()));
  }
  return fmt::format("{}", fmt::join(settings, "; "));
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
  if (before.kind == after.kind && before.sampling != after.sampling) {
    differences.found.push_back({"sampling", "The sampling settings differ: " +
                                                 sampling_difference(before.sampling, after.sampling)});
  }
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
  const auto a = before_trace.tokens(before.id, {0, kTokensLookedAt}, TokenWords::without);
  if (!a) return forward_error(a);
  const auto b = after_trace.tokens(after.id, {0, kTokensLookedAt}, TokenWords::without);
  if (!b) return forward_error(b);
  const auto [x, y] = std::mismatch(a->begin(), a->end(), b->begin(), b->end(), is_same_token);
  if (x == a->end() || y == b->end() || (x->generated && y->generated)) return found;
  found.push_back({"tokens read",
                   fmt::format("The same data were read as other tokens, from token {} on: with another chat "
                               "template, tokenizer or window",
                               x->index)});
  return found;
}

}  // namespace expertscope
