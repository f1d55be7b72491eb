// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>

#include "engine/error.h"
#include "engine/run/session.h"

namespace expertscope {

/// The two protocols in use; their numbers are not comparable, so every result names its own.
enum class PerplexityProtocol : std::uint8_t {
  hf,  ///< one text, windows of `context` that advance by `stride`; each token scored once with the most
       ///< context
  llamacpp,  ///< disjoint windows of `context`, BOS first, the second half of each scored
};

struct PerplexityOptions {
  PerplexityProtocol protocol = PerplexityProtocol::hf;
  int context = 1024;  ///< window, in tokens
  int stride = 512;    ///< hf only
  std::int32_t bos_token_id =
      -1;  ///< llamacpp only: put in place of the first token of each window; -1: none
};

struct PerplexityResult {
  double perplexity = 0;  ///< exp(mean negative log-likelihood)
  double nll_mean = 0;    ///< nats per token
  double standard_error =
      0;  ///< of the perplexity, as llama.cpp reports it: ppl * standard error of the mean nll
  std::int64_t scored_tokens = 0;
  int windows = 0;
};

/// Fraction done, running perplexity.
using PerplexityProgress = std::function<void(double fraction, double perplexity_so_far)>;

/// Scores one token stream. Uses sequence slot 0 of the session.
Result<PerplexityResult> perplexity(Session& session, std::span<const std::int32_t> tokens,
                                    const PerplexityOptions& options, const PerplexityProgress& progress = {},
                                    const std::stop_token& stop = {});

/// Negative log-likelihood in nats of `token` under `logits` [vocab]; summed in double.
double negative_log_likelihood(std::span<const float> logits, std::int32_t token);

}  // namespace expertscope
