// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/run/sampler.h"
#include "engine/run/session.h"

namespace expertscope {

struct GenerateOptions {
  SamplingOptions sampling;
  int max_tokens = 64;
  bool stop_at_eos = true;
  int sequence = 0;  ///< slot of the session; truncated to zero first
};

/// A token as it appears.
struct GeneratedToken {
  std::int32_t id = 0;
  int index = 0;       ///< 0-based among the generated tokens
  float log_prob = 0;  ///< of the raw distribution, in nats
  std::string text;    ///< text that became complete with this token; may be empty
};

enum class FinishReason : std::uint8_t {
  eos,      ///< the model ended the text
  length,   ///< GenerateOptions::max_tokens were made
  context,  ///< the session's max_context is full
  stopped,  ///< by the stop token
};

struct GenerateResult {
  std::vector<std::int32_t> ids;  ///< generated tokens, an EOS included
  std::string text;               ///< special tokens left out
  FinishReason reason = FinishReason::length;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

/// Refuses a prompt that cannot be run: one without tokens, or with more than the context holds. For who
/// begins a recording before generate() would say so.
Status check_prompt(const Session& session, std::span<const std::int32_t> prompt);

/// Runs a prompt and generates. `on_token` is called in order from this thread. Cancelled by `stop` between
/// steps: then the result so far comes back with FinishReason::stopped.
Result<GenerateResult> generate(Session& session, std::span<const std::int32_t> prompt,
                                const GenerateOptions& options,
                                const std::function<void(const GeneratedToken&)>& on_token = {},
                                const std::stop_token& stop = {});

}  // namespace expertscope
