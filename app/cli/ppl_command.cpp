// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "app/cli/console.h"
#include "app/cli/data_options.h"
#include "app/cli/run_options.h"
#include "probes/measure/text_perplexity.h"

namespace expertscope::cli {
namespace {

struct PplArguments {
  RunOptions run;
  DataOptions data;
  std::string protocol = "hf";
  int context = 0;
  int stride = 0;
  bool json = false;
};

nlohmann::ordered_json as_json(const TextPerplexity& scored, const Dataset& data, const Session& session) {
  const bool hf = scored.options.protocol == PerplexityProtocol::hf;
  nlohmann::ordered_json json = {
      {"perplexity", scored.result.perplexity},
      {"standard_error", scored.result.standard_error},
      {"nll_mean", scored.result.nll_mean},
      {"protocol", protocol_name(scored.options.protocol)},
      {"ctx", scored.options.context},
      {"stride", hf ? nlohmann::ordered_json(scored.options.stride) : nlohmann::ordered_json()},
      {"windows", scored.result.windows},
      {"tokens", scored.tokens},
      {"scored_tokens", scored.result.scored_tokens},
      {"bos_policy", scored.bos_policy},
  };
  add_data(json, data);
  json["text_sha256"] = scored.text_sha256;
  json["model"] = session.model().identity().path;
  json["config_sha256"] = session.model().identity().config_sha256;
  json["math"] = session.options().math == MathMode::f32 ? "f32" : "bf16";
  add_backend(json, session);
  const auto table = session.routing();
  json["policy"] = table ? nlohmann::ordered_json::parse(table->policy_json, nullptr, false) : nullptr;
  return json;
}

std::string as_text(const TextPerplexity& scored) {
  const PerplexityOptions& options = scored.options;
  const std::string windows = options.protocol == PerplexityProtocol::hf
                                  ? fmt::format("windows of {}, stride {}", options.context, options.stride)
                                  : fmt::format("windows of {}", options.context);
  return fmt::format(
      "perplexity {:.4f} +/- {:.4f}\n{} protocol, {}, {} of {} tokens scored\nBOS: {}\ndata: {}\n",
      scored.result.perplexity, scored.result.standard_error, protocol_name(options.protocol), windows,
      format_count(scored.result.scored_tokens), format_count(scored.tokens), scored.bos_policy,
      scored.dataset);
}

/// Tokens of context the session has to hold: what was asked for, or room for the protocol's usual window.
int session_context(const PplArguments& arguments, const ModelConfig& config) {
  if (arguments.context > 0) return arguments.context;
  return config.max_position_embeddings > 0 ? std::min(1024, config.max_position_embeddings) : 1024;
}

Status ppl(const PplArguments& arguments) {
  const auto data = open_data(arguments.data);
  if (!data) return forward_error(data);
  auto model = open_model(arguments.run.model);
  if (!model) return forward_error(model);
  if (const auto tokenizer = open_tokenizer(**model); !tokenizer) return forward_error(tokenizer);
  SessionShape shape;
  shape.max_context = session_context(arguments, (*model)->config());
  const auto session = open_session(std::move(*model), arguments.run, shape);
  if (!session) return forward_error(session);

  TextPerplexityOptions options;
  options.protocol = arguments.protocol == "llamacpp" ? PerplexityProtocol::llamacpp : PerplexityProtocol::hf;
  options.context = arguments.context;
  options.stride = arguments.stride;
  Result<TextPerplexity> scored = [&] {
    Progress progress("ppl", "tokens");
    return text_perplexity(**session, *data, options,
                           [&](std::int64_t done, std::int64_t total, double so_far) {
                             progress.update(done, total, fmt::format("perplexity {:.3f}", so_far));
                           });
  }();
  if (const std::string changed = (*session)->model().rewritten_weights(); !changed.empty()) note(changed);
  if (!scored) return run_failure(**session, scored.error());
  return arguments.json ? write_json(as_json(*scored, *data, **session)) : write_text(as_text(*scored));
}

}  // namespace

CommandBody define_ppl(Arguments& options) {
  auto arguments = std::make_shared<PplArguments>();
  add_run_options(options, arguments->run);
  add_data_options(options, arguments->data);
  options
      .add("--protocol", arguments->protocol,
           "hf: sliding windows, each token scored once; llamacpp: disjoint windows, second half scored. "
           "Numbers of the two are not comparable")
      .one_of({"hf", "llamacpp"})
      .show_default()
      .value_name("NAME");
  options
      .add("--ctx,--context", arguments->context, "Window in tokens (default: 1024 for hf, 512 for llamacpp)")
      .range(2, 1e7);
  options.add("--stride", arguments->stride, "hf only: tokens between windows (default: half the window)")
      .range(1, 1e7);
  options.add_flag("--json", arguments->json, "Print the result as JSON");
  return [arguments](const CommandContext&) { return ppl(*arguments); };
}

}  // namespace expertscope::cli
