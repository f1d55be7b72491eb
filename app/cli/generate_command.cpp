// SPDX-License-Identifier: GPL-3.0-or-later
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "app/cli/console.h"
#include "app/cli/run_options.h"
#include "engine/run/generate.h"
#include "engine/text/chat_template.h"
#include "engine/text/text_source.h"
#include "engine/text/tokenizer.h"
#include "engine/text/visible_text.h"
#include "probes/capture/generation.h"

namespace expertscope::cli {
namespace {

struct GenerateArguments {
  RunOptions run;
  std::string prompt;
  std::string prompt_file;
  std::vector<std::int32_t> ids;
  std::optional<std::string> system;  ///< an empty one is a message, too
  bool chat = false;
  int max_tokens = 64;
  int context = 0;
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::uint64_t seed = 1;
  bool ignore_eos = false;
  std::string trace;
  RecordingOptions recording;
  bool json = false;
};

/// A prompt as text and as the tokens that run.
struct Prompt {
  std::string text;
  std::vector<std::int32_t> ids;
};

/// What a generation left behind.
struct Outcome {
  GenerateResult result;
  std::vector<float> log_probs;
  std::int64_t run = 0;  ///< in the trace; 0: not recorded
};

Result<std::string> prompt_text(const GenerateArguments& arguments) {
  return arguments.prompt_file.empty() ? arguments.prompt : read_prompt(arguments.prompt_file);
}

/// The prompt in the model's chat format.
Result<std::string> chat_text(const Model& model, const GenerateArguments& arguments, std::string prompt) {
  const auto chat = model.require_chat_template();
  if (!chat)
    return fail(ErrorCode::unsupported,
                "{}: no chat template to use with --chat; {} The prompt runs as it is without --chat",
                model.identity().path, chat.error().message);
  std::vector<ChatMessage> messages;
  if (arguments.system) messages.push_back({"system", *arguments.system});
  messages.push_back({"user", std::move(prompt)});
  return (*chat)->render(messages);
}

Result<Prompt> make_prompt(const Model& model, const GenerateArguments& arguments) {
  Prompt prompt;
  if (!arguments.ids.empty()) {
    prompt.ids = arguments.ids;
    if (auto valid = check_ids(prompt.ids, model.config()); !valid) return forward_error(valid);
    if (model.tokenizer() != nullptr) prompt.text = model.tokenizer()->decode(prompt.ids);
    return prompt;
  }
  const auto tokenizer = open_tokenizer(model);
  if (!tokenizer)
    return fail(tokenizer.error().code, "{}; token ids (--ids) run without it", tokenizer.error().message);
  auto text = prompt_text(arguments);
  if (text && arguments.chat) text = chat_text(model, arguments, std::move(*text));
  if (!text) return forward_error(text);
  // A chat template writes its special tokens itself.
  auto ids = (*tokenizer)->encode(*text, !arguments.chat);
  if (!ids) return fail(ids.error().code, "the prompt: {}", ids.error().message);
  if (ids->empty())
    return fail(ErrorCode::invalid_argument,
                "the prompt is empty, and this model has no BOS token to begin with");
  return Prompt{std::move(*text), std::move(*ids)};
}

/// Options that were given, else what the model ships in generation_config.json.
GenerateOptions generate_options(const GenerateArguments& arguments, const GenerationDefaults& model) {
  GenerateOptions options;
  SamplingOptions& sampling = options.sampling;
  sampling = proposed_sampling(model);
  sampling.temperature = arguments.temperature.value_or(sampling.temperature);
  sampling.top_k = arguments.top_k.value_or(sampling.top_k);
  sampling.top_p = arguments.top_p.value_or(sampling.top_p);
  sampling.min_p = arguments.min_p.value_or(sampling.min_p);
  sampling.repetition_penalty = arguments.repetition_penalty.value_or(sampling.repetition_penalty);
  sampling.seed = arguments.seed;
  options.max_tokens = arguments.max_tokens;
  options.stop_at_eos = !arguments.ignore_eos;
  return options;
}

/// Shows the tokens as they appear: the text itself on standard output, or a count on standard error.
class TokenPrinter {
 public:
  TokenPrinter(bool stream_text, int max_tokens)
      : stream_text_(stream_text), terminal_(isatty(STDOUT_FILENO) == 1), max_tokens_(max_tokens) {
    if (!stream_text || !terminal_) progress_.emplace("generate", "tokens");
  }

  /// Fails when standard output does not take the text: then nobody waits for more of it.
  Status operator()(const GeneratedToken& token) {
    log_probs_.push_back(token.log_prob);
    if (stream_text_ && status_) status_ = write_text(shown(token.text));
    if (progress_) progress_->update(token.index + 1, max_tokens_);
    return status_;
  }

  /// Ends the line; fails when standard output did not take the text.
  Status finish() {
    progress_.reset();
    if (stream_text_ && status_) status_ = write_text("\n");
    return status_;
  }
  const std::vector<float>& log_probs() const { return log_probs_; }

 private:
  /// A file gets the text as the model wrote it; a terminal must not obey it.
  std::string shown(const std::string& text) const {
    return terminal_ ? visible_text(text, LineBreaks::keep) : text;
  }

  bool stream_text_;
  bool terminal_;
  int max_tokens_;
  std::optional<Progress> progress_;
  std::vector<float> log_probs_;
  Status status_;
};

Result<Outcome> run_prompt(Session& session, const Prompt& prompt, const GenerateOptions& options,
                           const GenerateArguments& arguments, const CommandContext& context) {
  if (auto fits = check_prompt(session, prompt.ids); !fits) return forward_error(fits);
  const GracefulStop stop(context.interrupts);  // the recording is closed, the text so far is the result
  const CaptureRequest& probes = arguments.recording.probes;
  std::unique_ptr<Recorder> recorder;
  if (!arguments.trace.empty()) {
    RecorderOptions recording;
    recording.full = arguments.recording.full;
    recording.notice = [](TraceLock, const std::string& message) { note(message); };
    recording.stop = stop.token();
    auto started =
        start_generation_run(session, prompt.text, options, probes, arguments.trace, std::move(recording));
    if (!started) return forward_error(started);
    recorder = std::move(*started);
  }
  TokenPrinter printer(!arguments.json, options.max_tokens);
  std::stop_source ended;  // by the person, or by nobody reading
  const std::stop_callback forward(stop.token(), [&] { ended.request_stop(); });
  const auto on_token = [&](const GeneratedToken& token) {
    Status taken = printer(token);
    if (!taken) ended.request_stop();
    return taken;
  };
  auto result =
      recorder ? generate_recorded(session, *recorder, probes, prompt.ids, options, on_token, stop.token())
               : generate(session, prompt.ids, options, on_token, ended.get_token());
  const Status printed = printer.finish();
  if (!result) return forward_error(result);
  if (!printed) return forward_error(printed);
  return Outcome{std::move(*result), printer.log_probs(), recorder ? recorder->run_id() : 0};
}

const char* reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::eos:
      return "eos";
    case FinishReason::length:
      return "length";
    case FinishReason::context:
      return "context";
    case FinishReason::stopped:
      return "stopped";
  }
  return "";
}

double tokens_per_second(std::size_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

/// The first token comes out of the prefill; decoding makes the others.
double decode_rate(const GenerateResult& result) {
  return result.ids.size() > 1 ? tokens_per_second(result.ids.size() - 1, result.decode_seconds) : 0;
}

nlohmann::ordered_json as_json(const Outcome& outcome, const Prompt& prompt, const GenerateOptions& options,
                               const GenerateArguments& arguments, const Session& session) {
  const GenerateResult& result = outcome.result;
  nlohmann::ordered_json json = {
      {"prompt", prompt.text},
      {"prompt_ids", prompt.ids},
      {"ids", result.ids},
      {"text", result.text},
      {"log_probs", outcome.log_probs},
      {"finish_reason", reason_name(result.reason)},
      {"sampling", nlohmann::ordered_json::parse(sampling_json(options), nullptr, false)},
      {"policy", nlohmann::ordered_json::parse(session.routing()->policy_json, nullptr, false)},
      {"model", session.model().identity().path},
      {"prefill_seconds", result.prefill_seconds},
      {"decode_seconds", result.decode_seconds},
      {"prefill_tokens_per_second", tokens_per_second(prompt.ids.size(), result.prefill_seconds)},
      {"decode_tokens_per_second", decode_rate(result)},
  };
  add_backend(json, session);
  if (outcome.run > 0) json["trace"] = {{"file", arguments.trace}, {"run", outcome.run}};
  return json;
}

void print_statistics(const Outcome& outcome, const Prompt& prompt, const GenerateArguments& arguments) {
  const GenerateResult& result = outcome.result;
  note(fmt::format("{} prompt tokens at {:.1f} tokens/s, {} generated at {:.1f} tokens/s ({})",
                   prompt.ids.size(), tokens_per_second(prompt.ids.size(), result.prefill_seconds),
                   result.ids.size(), decode_rate(result), reason_name(result.reason)));
  if (outcome.run > 0) note(fmt::format("recorded as run {} of {}", outcome.run, arguments.trace));
}

Status run_generate(const GenerateArguments& arguments, const CommandContext& context) {
  Status output = check_trace_output(arguments.trace, arguments.run, "--prompt-file", arguments.prompt_file);
  if (!output) return output;
  auto model = open_model(arguments.run.model);
  if (!model) return forward_error(model);
  const auto prompt = make_prompt(**model, arguments);
  if (!prompt) return forward_error(prompt);
  const GenerateOptions options = generate_options(arguments, (*model)->config().generation);
  SessionShape shape;
  shape.max_context =
      arguments.context > 0 ? arguments.context : static_cast<int>(prompt->ids.size()) + options.max_tokens;
  const auto session = open_session(std::move(*model), arguments.run, shape);
  if (!session) return forward_error(session);

  const auto outcome = run_prompt(**session, *prompt, options, arguments, context);
  const std::string changed = (*session)->model().rewritten_weights();
  const bool said = !outcome && outcome.error().message.find(changed) != std::string::npos;
  if (!changed.empty() && !said) note(changed);
  if (!outcome) return run_failure(**session, outcome.error());
  if (arguments.json) {
    auto written = write_json(as_json(*outcome, *prompt, options, arguments, **session));
    if (!written) return written;
  } else {
    print_statistics(*outcome, *prompt, arguments);
  }
  if (outcome->result.reason == FinishReason::stopped) return fail(ErrorCode::cancelled, "stopped");
  return {};
}

void add_prompt_options(Arguments& options, GenerateArguments& arguments) {
  const auto prompt = options.add("--prompt", arguments.prompt, "Text").value_name("TEXT");
  const auto file =
      options.add("--prompt-file", arguments.prompt_file, "File with the text; - for standard input")
          .value_name("FILE")
          .file_or_stream();
  const auto ids = options.add("--ids", arguments.ids, "Token ids");
  options.exactly_one_of("Prompt (one of the three)", {prompt, file, ids});
  const auto chat =
      options.add_flag("--chat", arguments.chat, "Put the prompt into the model's chat template");
  options.add("--system", arguments.system, "System message of the chat").only_with(chat).value_name("TEXT");
}

void add_sampling_options(Arguments& options, GenerateArguments& arguments) {
  const char* group = "Sampling (default: the model's generation_config.json)";
  options.add("--temperature", arguments.temperature, "0: always the most probable token")
      .range(0, 100)
      .section(group);
  options.add("--top-k", arguments.top_k, "Only the K most probable tokens; 0: off")
      .range(0, 1e9)
      .section(group);
  options.add("--top-p", arguments.top_p, "Only the tokens that make up this probability; 1: off")
      .range(0, 1)
      .section(group);
  options.add("--min-p", arguments.min_p, "Only tokens above P times the largest probability; 0: off")
      .range(0, 1)
      .section(group);
  options
      .add("--repetition-penalty", arguments.repetition_penalty,
           "Divides the logits of tokens already seen; 1: off")
      .range(0.01, 100)
      .section(group);
  options.add("--seed", arguments.seed, "The same seed gives the same text").show_default().section(group);
}

}  // namespace

CommandBody define_generate(Arguments& options) {
  auto arguments = std::make_shared<GenerateArguments>();
  add_run_options(options, arguments->run);
  add_prompt_options(options, *arguments);
  options.add("--max-tokens", arguments->max_tokens, "Stop after this many tokens")
      .range(0, 1e7)
      .show_default();
  options.add_flag("--ignore-eos", arguments->ignore_eos, "Go on after an end-of-text token");
  options.add("--context", arguments->context, "Tokens the KV cache holds (default: prompt and --max-tokens)")
      .range(1, 1e7);
  add_sampling_options(options, *arguments);
  options
      .add("--trace", arguments->trace,
           "Record the routing into this trace; a run is added to one that exists")
      .value_name("FILE.db")
      .file();
  add_recording_options(options, arguments->recording);
  options.add_flag("--json", arguments->json, "Print ids, text and timings as JSON at the end");
  return [arguments](const CommandContext& context) { return run_generate(*arguments, context); };
}

}  // namespace expertscope::cli
