// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "engine/error.h"
#include "engine/run/session.h"
#include "engine/text/dataset.h"
#include "probes/measure/perplexity.h"

namespace expertscope {

struct TextPerplexityOptions {
  PerplexityProtocol protocol = PerplexityProtocol::hf;
  int context = 0;  ///< window in tokens; 0: 1024 for hf and 512 for llamacpp, at most what the session holds
  int stride = 0;   ///< hf only; 0: half the window
};

/// A perplexity and everything needed to repeat it.
struct TextPerplexity {
  PerplexityResult result;
  PerplexityOptions options;  ///< as resolved for this model and session
  std::string dataset;        ///< what was read, as Dataset::summary() says it
  std::string text_sha256;    ///< of the text that was scored
  std::string bos_policy;     ///< in words: what was done about a BOS token
  std::int64_t tokens = 0;    ///< tokens of the text
};

/// Tokens done, tokens in all, running perplexity.
using TextPerplexityProgress =
    std::function<void(std::int64_t done, std::int64_t total, double perplexity_so_far)>;

/// "hf" or "llamacpp".
const char* protocol_name(PerplexityProtocol protocol);

/// Joins the documents by an empty line, as published numbers do, encodes the text once (special tokens as
/// the tokenizer adds them) and scores it. The command line, the window and the report all measure with this.
Result<TextPerplexity> text_perplexity(Session& session, const Dataset& data,
                                       const TextPerplexityOptions& options,
                                       const TextPerplexityProgress& progress = {},
                                       const std::stop_token& stop = {});

}  // namespace expertscope
