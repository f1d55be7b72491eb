// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/analysis.h"
#include "probes/analysis/expert_use.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

Table empty_table() {
  constexpr auto kInteger = ColumnType::integer;
  constexpr auto kNumber = ColumnType::number;
  return {"tokens",
          "Tokens with the largest weight",
          TableKey::token,
          {{"token", "at token", kInteger, "token index", "Run token index."},
           {"weight", "weight", kNumber, "", "Combine weight; missing for a shared expert."},
           {"score", "score", kNumber, "", "Router score at selection; missing for a shared expert."},
           {"output_norm", "output norm", kNumber, "", "L2 norm of the expert's output."},
           {"output_max", "output max", kNumber, "", "Largest absolute value of it."},
           {"output_channel", "channel", kInteger, "channel", "Where that is."},
           {"before", "before", ColumnType::text, "token", "The text before the token."},
           {"text", "token", ColumnType::text, "token", "What it stands for."},
           {"after", "after", ColumnType::text, "token", "The text behind it."}}};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options& options,
                           const std::stop_token& stop) {
  auto asked = ask_for_expert(data, range, options);
  if (!asked) return forward_error(asked);
  ExpertUseQuery& query = *asked;
  query.most_tokens = static_cast<std::size_t>(options.integer("most"));
  const auto use = read_expert_use(data.reader(), data.info().id, query, stop);
  if (!use) return forward_error(use);
  AnalysisResult result;
  Table& table = result.tables.emplace_back(empty_table());
  for (const UsedSlot& used : use->top) {
    if (auto wanted = go_on(stop); !wanted) return forward_error(wanted);
    auto context = token_context(data.reader(), data.info().id, used.token);
    if (!context) return forward_error(context);
    const auto slot = read_slot(data.reader(), data.info().id, query.layer, query.expert, used.token);
    if (!slot) return forward_error(slot);
    table.add_row(used.token, double{slot->weight}, double{slot->probability}, double{slot->output_norm},
                  double{slot->output_max}, Index{slot->output_channel}, std::move(context->before),
                  std::move(context->bytes), std::move(context->after));
  }
  return result;
}

}  // namespace

Analysis top_tokens_analysis() {
  constexpr auto kInteger = ColumnType::integer;
  return {"top-tokens",
          "Tokens for which an expert has the largest weight",
          "The slots of an expert with the largest combine weight, the earlier token first of equal ones, "
          "with the "
          "text around them. A shared expert, which every token runs, has no weight: there, those with the "
          "largest output.",
          "",
          {Input::selections},
          {{"layer", kInteger, std::int64_t{0}, "The layer.", 0, 1e6},
           {"expert", kInteger, std::int64_t{0}, "The expert; -1: the shared one.", -1, 1e6},
           {"most", kInteger, std::int64_t{12}, "Tokens that are listed.", 1, 10000}},
          {empty_table()},
          run};
}

}  // namespace expertscope
