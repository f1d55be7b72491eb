// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "app/cli/console.h"
#include "app/cli/npy.h"
#include "app/cli/run_options.h"

namespace expertscope::cli {
namespace {

struct LogitsArguments {
  RunOptions run;
  std::vector<std::int32_t> ids;
  std::string out;
  bool json = false;
};

/// Runs the tokens step by step, writing each step's logits before the next one runs.
Status write_logits(Session& session, std::span<const std::int32_t> ids, NpyWriter& file,
                    const CommandContext& context) {
  const GracefulStop stop(context.interrupts);  // the unfinished file is removed
  Progress progress("logits", "tokens");
  const auto total = static_cast<std::int64_t>(ids.size());
  const auto most = static_cast<std::size_t>(session.options().max_batch);
  for (std::size_t start = 0; start < ids.size(); start += most) {
    if (stop.token().stop_requested()) return fail(ErrorCode::cancelled, "stopped");
    const auto part = ids.subspan(start, std::min(most, ids.size() - start));
    Batch batch;
    batch.tokens.assign(part.begin(), part.end());
    batch.chunks.push_back({0, 0, static_cast<int>(part.size())});
    batch.logits = LogitsWanted::all;
    const auto logits = session.step(std::move(batch));
    if (!logits) return forward_error(logits);
    if (auto written = file.append(*logits); !written) return written;
    progress.update(static_cast<std::int64_t>(start + part.size()), total);
  }
  return file.finish();
}

Status logits(const LogitsArguments& arguments, const CommandContext& context) {
  Status output = check_result(
      "--out", arguments.out, arguments.json,
      {{"the file that --policy reads", arguments.run.policy}, files_of_model(arguments.run.model)});
  if (!output) return output;
  auto model = open_model(arguments.run.model);
  if (!model) return forward_error(model);
  const int vocab = (*model)->config().vocab_size;
  if (auto valid = check_ids(arguments.ids, (*model)->config()); !valid) return valid;
  SessionShape shape;
  shape.max_context = static_cast<int>(arguments.ids.size());
  shape.all_logits = true;
  auto session = open_session(std::move(*model), arguments.run, shape);
  if (!session) return forward_error(session);
  const auto rows = static_cast<std::int64_t>(arguments.ids.size());
  auto file = NpyWriter::create(arguments.out, rows, vocab);
  if (!file) return forward_error(file);
  if (auto written = write_logits(**session, arguments.ids, *file, context); !written)
    return run_failure(**session, written.error());
  if (const std::string changed = (*session)->model().rewritten_weights(); !changed.empty()) note(changed);
  if (!arguments.json) return {};
  nlohmann::ordered_json json = {{"out", arguments.out}, {"shape", {rows, vocab}}, {"dtype", "float32"}};
  add_backend(json, **session);
  return write_json(json);
}

}  // namespace

CommandBody define_logits(Arguments& options) {
  auto arguments = std::make_shared<LogitsArguments>();
  add_run_options(options, arguments->run);
  options.add("--ids", arguments->ids, "Token ids of one sequence").required();
  options.add("--out", arguments->out, "NumPy file to write: float32 [tokens, vocab]; - for standard output")
      .required()
      .value_name("FILE.npy")
      .file_or_stream();
  options.add_flag("--json", arguments->json, "Print what was written as JSON");
  return [arguments](const CommandContext& context) { return logits(*arguments, context); };
}

}  // namespace expertscope::cli
