// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/run/generate.h"
#include "engine/run/session.h"
#include "probes/measure/text_perplexity.h"
#include "probes/report/report.h"

namespace expertscope {

/// "What do the edits do?": one prompt and one seed, run with and without them; perplexity and KL on a text.
struct ComparisonRequest {
  std::string prompt;
  bool chat_template = false;
  GenerateOptions options;
  std::shared_ptr<const RoutingTable> edited;  ///< null counts as the model's own routing
  std::filesystem::path text;                  ///< scored before and after; empty: no perplexity
  TextPerplexityOptions perplexity;
};

/// One side of a comparison.
struct ComparisonSide {
  GenerateResult generated;
  std::vector<std::string> token_bytes;  ///< of generated.ids
  std::optional<TextPerplexity> perplexity;
};

struct ComparisonResult {
  ComparisonRequest request;
  ComparisonSide before;          ///< the model's own routing
  ComparisonSide after;           ///< with the edits
  int first_difference = -1;      ///< index of the first generated token that differs; -1: none
  std::optional<double> kl_mean;  ///< mean KL(before || after) over the prompt and `before`'s text, nats
  std::int64_t kl_tokens = 0;

  /// What the report prints.
  ReportComparison for_report() const;
};

using ComparisonProgress = std::function<void(const std::string& what, double fraction)>;

/// Runs both sides; blocking, for the engine's thread. Leaves the session with the routing it found.
Result<ComparisonResult> run_comparison(Session& session, const ComparisonRequest& request,
                                        const ComparisonProgress& progress = {},
                                        const std::stop_token& stop = {});

/// The prompt as token ids: raw, with the tokenizer's special tokens, or through the model's chat template.
Result<std::vector<std::int32_t>> encode_prompt(const Model& model, const std::string& prompt,
                                                bool chat_template);

/// Index of the first element that differs, or of the end of the shorter one; -1 when they are equal.
int first_difference(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b);

}  // namespace expertscope
