// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/capture/profile.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "app/cli/console.h"
#include "app/cli/data_options.h"
#include "app/cli/run_options.h"

namespace expertscope::cli {
namespace {

/// At most so many sequences run side by side.
constexpr int kMaxSequences = 16;
constexpr int kMaxGpuSequences = 256;

struct ProfileArguments {
  RunOptions run;
  DataOptions data;
  std::string trace;
  int sequence_length = 2048;
  int sequences = 0;
  RecordingOptions recording;
  bool json = false;
};

/// A token is scored by what stands before it in its sequence: one that stands alone has no probability.
std::string perplexity_text(const ProfileResult& result) {
  if (result.scored_tokens == 0) return "nothing scored: no sequence has two tokens";
  return fmt::format("perplexity {:.4f}", std::exp(result.nll_mean));
}

std::string as_text(const ProfileResult& result, const Dataset& data, const std::string& trace) {
  const double rate = result.seconds > 0 ? static_cast<double>(result.tokens) / result.seconds : 0;
  return fmt::format("run {} in {}: {} tokens in {} sequences, {:.1f} s, {:.1f} tokens/s, {}\ndata: {}\n",
                     result.run, trace, format_count(result.tokens), format_count(result.sequences),
                     result.seconds, rate, perplexity_text(result), data.summary());
}

nlohmann::ordered_json as_json(const ProfileResult& result, const Dataset& data, const std::string& trace) {
  nlohmann::ordered_json json = {{"trace", trace},
                                 {"run", result.run},
                                 {"tokens", result.tokens},
                                 {"sequences", result.sequences},
                                 {"seconds", result.seconds},
                                 {"scored_tokens", result.scored_tokens},
                                 {"nll_mean", nullptr},
                                 {"perplexity", nullptr}};
  add_data(json, data);
  if (result.scored_tokens == 0) return json;
  json["nll_mean"] = result.nll_mean;
  json["perplexity"] = std::exp(result.nll_mean);
  return json;
}

/// Short sequences share a step, as many as fill it. `most`: there are no more of them; 0: not known.
SessionShape shape_for(int length, int most) {
  const auto together = [&](int step, int limit) {
    return std::clamp(step / length, 1, most > 0 ? std::min(most, limit) : limit);
  };
  SessionShape shape;
  shape.max_context = length;
  shape.max_sequences = together(kCpuBatch, kMaxSequences);
  shape.gpu_sequences = together(kGpuJobBatch, kMaxGpuSequences);
  shape.gpu_batch = kGpuJobBatch;
  return shape;
}

Status run_profile(const ProfileArguments& arguments, const CommandContext& context) {
  Status output = check_trace_output(arguments.trace, arguments.run, "--data", arguments.data.file);
  if (!output) return output;
  const auto data = open_data(arguments.data);
  if (!data) return forward_error(data);
  auto model = open_model(arguments.run.model);
  if (!model) return forward_error(model);
  if (const auto tokenizer = open_tokenizer(**model); !tokenizer) return forward_error(tokenizer);

  ProfileOptions options;
  options.sequence_length = arguments.sequence_length;
  const int longest = (*model)->config().max_position_embeddings;
  if (longest > 0 && longest < options.sequence_length) {
    note(fmt::format("the model's context is {} tokens: sequences are cut to that", longest));
    options.sequence_length = longest;
  }
  options.max_sequences = arguments.sequences;
  options.probes = arguments.recording.probes;
  options.full = arguments.recording.full;
  const auto session =
      open_session(std::move(*model), arguments.run, shape_for(options.sequence_length, arguments.sequences));
  if (!session) return forward_error(session);

  Result<ProfileResult> result = [&] {
    const GracefulStop stop(context.interrupts);  // the recording is closed
    options.notice = [](TraceLock, const std::string& message) { note(message); };
    Progress progress("profile", "tokens");
    return profile(
        **session, *data, options, arguments.trace,
        [&](std::int64_t done, std::int64_t total) { progress.update(done, total); }, stop.token());
  }();
  if (!result) return run_failure(**session, result.error());
  if (!result->remark.empty()) note(result->remark);
  return arguments.json ? write_json(as_json(*result, *data, arguments.trace))
                        : write_text(as_text(*result, *data, arguments.trace));
}

}  // namespace

CommandBody define_profile(Arguments& options) {
  auto arguments = std::make_shared<ProfileArguments>();
  add_run_options(options, arguments->run);
  add_data_options(options, arguments->data);
  options.add("--trace", arguments->trace, "Trace to record into; a run is added to one that exists")
      .required()
      .value_name("FILE.db")
      .file();
  options.add("--seq-len", arguments->sequence_length, "Tokens of a sequence").range(1, 1e7).show_default();
  options.add("--sequences", arguments->sequences, "At most this many sequences; 0: all of the data")
      .range(0, 1e9)
      .show_default();
  add_recording_options(options, arguments->recording);
  options.add_flag("--json", arguments->json, "Print the summary as JSON");
  return [arguments](const CommandContext& context) { return run_profile(*arguments, context); };
}

}  // namespace expertscope::cli
