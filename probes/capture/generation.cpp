// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/capture/generation.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/text/dataset.h"
#include "engine/text/tokenizer.h"

namespace expertscope {
namespace {

/// The beginning of a prompt, cut between two characters: a name for lists.
std::string first_words(const std::string& prompt) {
  std::size_t length = std::min<std::size_t>(prompt.size(), 48);
  while (length > 0 && length < prompt.size() && (static_cast<unsigned char>(prompt[length]) & 0xc0) == 0x80)
    --length;
  return prompt.substr(0, length);
}

/// The decimal a person wrote: 0.95 and not 0.949999988079071.
double shortest(float value) {
  const std::string text = fmt::format("{}", value);
  double number = value;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

std::string sampling_json(const GenerateOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  const nlohmann::ordered_json json = {{"temperature", shortest(sampling.temperature)},
                                       {"top_k", sampling.top_k},
                                       {"top_p", shortest(sampling.top_p)},
                                       {"min_p", shortest(sampling.min_p)},
                                       {"repetition_penalty", shortest(sampling.repetition_penalty)},
                                       {"seed", sampling.seed},
                                       {"max_tokens", options.max_tokens}};
  return json.dump();
}

Result<std::unique_ptr<Recorder>> start_generation_run(const Session& session, const std::string& prompt,
                                                       const GenerateOptions& options,
                                                       const CaptureRequest& probes,
                                                       const std::filesystem::path& trace,
                                                       RecorderOptions recording) {
  RunInfo info = describe_run(session, probes);
  info.kind = "generate";
  info.sampling = sampling_json(options);
  info.prompt = prompt;
  info.dataset = first_words(prompt);
  info.dataset_sha256 = sha256_hex(prompt);
  recording.remark = [model = session.shared_model()] { return model->rewritten_weights(); };
  if (session.model().tokenizer() != nullptr) {
    recording.token_bytes = [model = session.shared_model()](std::int32_t id) {
      return model->tokenizer()->token_bytes(id);
    };
  }
  return Recorder::start(trace, info, std::move(recording));
}

Result<GenerateResult> generate_recorded(Session& session, Recorder& recorder, const CaptureRequest& probes,
                                         std::span<const std::int32_t> prompt, const GenerateOptions& options,
                                         const std::function<Status(const GeneratedToken&)>& on_token,
                                         const std::stop_token& stop) {
  session.set_capture(probes, &recorder);
  std::string text;  // also of a run that does not end well
  Status taken;
  std::stop_source ended;
  const std::stop_callback forward(stop, [&] { ended.request_stop(); });
  auto on_recorded_token = [&](const GeneratedToken& token) {
    if (token.index == 0) recorder.mark_generated();
    text += token.text;
    if (on_token && taken) taken = on_token(token);
    if (!taken) ended.request_stop();
  };
  auto result = generate(session, prompt, options, on_recorded_token, ended.get_token());
  session.set_capture({}, nullptr);

  if (!result) {
    const bool cancelled = result.error().code == ErrorCode::cancelled;
    const Status closed = recorder.finish(cancelled ? "stopped" : "failed", result.error().message, text);
    if (cancelled && !closed)
      return fail(closed.error().code, "{}; {}", closed.error().message, recorder.what_is_kept());
    // Of a failure the first error is the one to report, whatever closing the run says.
    // A GPU that failed says what to do next; what is kept is said where it was the trace that failed.
    if (cancelled || session.failed_on_gpu(result.error())) return result;
    return fail(result.error().code, "{}; {}", result.error().message, recorder.what_is_kept());
  }
  if (!taken) {
    (void)recorder.finish("interrupted", taken.error().message, text);
    return forward_error(taken);
  }
  const bool stopped = result->reason == FinishReason::stopped;
  const Status closed = recorder.finish(stopped ? "stopped" : "finished", {}, result->text);
  if (!closed) return fail(closed.error().code, "{}; {}", closed.error().message, recorder.what_is_kept());
  return result;
}

}  // namespace expertscope
