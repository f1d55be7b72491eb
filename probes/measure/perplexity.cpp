// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/measure/perplexity.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/backend/log_prob.h"

namespace expertscope {
namespace {

/// Running sums over the scored tokens.
struct Score {
  double nll = 0;
  double nll_squared = 0;
  std::int64_t tokens = 0;

  void add(double value) {
    nll += value;
    nll_squared += value * value;
    ++tokens;
  }
  double mean() const { return tokens > 0 ? nll / static_cast<double>(tokens) : 0.0; }
};

/// Runs one window from an empty cache; token i is scored for i in [first_scored, tokens.size()), i >= 1.
Status score_window(Session& session, std::span<const std::int32_t> tokens, std::size_t first_scored,
                    Score& score, const std::stop_token& stop) {
  if (auto ok = session.truncate(0, 0); !ok) return ok;
  const auto most = static_cast<std::size_t>(session.options().max_batch);
  for (std::size_t start = 0; start < tokens.size(); start += most) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped");
    const auto part = tokens.subspan(start, std::min(most, tokens.size() - start));
    Batch batch;
    batch.tokens.assign(part.begin(), part.end());
    batch.chunks.push_back({0, 0, static_cast<int>(part.size())});
    batch.logits = LogitsWanted::log_probs;
    // Row t scores token t + 1; rows before first_scored - 1 are context only.
    batch.targets.assign(part.size(), -1);
    for (std::size_t t = start + 1; t <= start + part.size() && t < tokens.size(); ++t) {
      if (t >= first_scored) batch.targets[t - 1 - start] = tokens[t];
    }
    const auto output = session.run(std::move(batch));
    if (!output) return forward_error(output);
    for (const float log_prob : (*output)->log_probs) {
      if (!std::isnan(log_prob)) score.add(-static_cast<double>(log_prob));
    }
  }
  return {};
}

Status check(const Session& session, std::size_t tokens, const PerplexityOptions& options) {
  // The second half of a window of llamacpp begins behind its middle token.
  const int least = options.protocol == PerplexityProtocol::llamacpp ? 3 : 2;
  if (options.context < least)
    return fail(ErrorCode::invalid_argument, "a context of {} tokens scores nothing", options.context);
  if (options.context > session.options().max_context) {
    return fail(ErrorCode::invalid_argument, "a context of {} tokens, the session holds {}", options.context,
                session.options().max_context);
  }
  if (tokens < 2)
    return fail(ErrorCode::invalid_argument, "a text of {} tokens has nothing to score", tokens);
  if (options.protocol == PerplexityProtocol::hf &&
      (options.stride < 1 || options.stride > options.context)) {
    return fail(ErrorCode::invalid_argument, "a stride of {} is not between 1 and the context of {}",
                options.stride, options.context);
  }
  if (options.protocol == PerplexityProtocol::llamacpp &&
      tokens < static_cast<std::size_t>(options.context)) {
    return fail(ErrorCode::invalid_argument, "the text has {} tokens, fewer than one window of {}", tokens,
                options.context);
  }
  return {};
}

/// Mean and standard error as llama.cpp's perplexity tool prints them.
PerplexityResult finish(const Score& score, int windows) {
  PerplexityResult result;
  result.nll_mean = score.mean();
  result.perplexity = std::exp(result.nll_mean);
  result.scored_tokens = score.tokens;
  result.windows = windows;
  const auto n = static_cast<double>(score.tokens);
  const double variance = n > 0 ? score.nll_squared / n - result.nll_mean * result.nll_mean : 0.0;
  if (n > 1 && variance > 0) result.standard_error = result.perplexity * std::sqrt(variance / (n - 1));
  return result;
}

struct Window {
  std::size_t begin = 0, end = 0;  ///< [begin, end) of the token stream
  std::size_t first_scored = 0;    ///< index in the window
};

/// https://huggingface.co/docs/transformers/perplexity: each window scores what the one before did not reach.
std::vector<Window> sliding_windows(std::size_t tokens, std::size_t context, std::size_t stride) {
  std::vector<Window> windows;
  std::size_t done = 0;
  for (std::size_t begin = 0; done < tokens; begin += stride) {
    const std::size_t end = std::min(begin + context, tokens);
    windows.push_back({begin, end, done - begin});
    done = end;
  }
  return windows;
}

/// llama.cpp, tools/perplexity: a rest shorter than a window is left out; predictions from position
/// context / 2 on count.
std::vector<Window> disjoint_windows(std::size_t tokens, std::size_t context) {
  std::vector<Window> windows;
  for (std::size_t begin = 0; begin + context <= tokens; begin += context) {
    windows.push_back({begin, begin + context, context / 2 + 1});
  }
  return windows;
}

}  // namespace

double negative_log_likelihood(std::span<const float> logits, std::int32_t token) {
  return -log_probability(logits, token);
}

Result<PerplexityResult> perplexity(Session& session, std::span<const std::int32_t> tokens,
                                    const PerplexityOptions& options, const PerplexityProgress& progress,
                                    const std::stop_token& stop) {
  if (auto ok = check(session, tokens.size(), options); !ok) return forward_error(ok);
  const auto context = static_cast<std::size_t>(options.context);
  const bool hf = options.protocol == PerplexityProtocol::hf;
  const auto windows = hf ? sliding_windows(tokens.size(), context, static_cast<std::size_t>(options.stride))
                          : disjoint_windows(tokens.size(), context);
  Score score;
  std::vector<std::int32_t> window;
  int done = 0;
  for (const Window& w : windows) {
    const auto part = tokens.subspan(w.begin, w.end - w.begin);
    window.assign(part.begin(), part.end());
    if (!hf && options.bos_token_id >= 0) window.front() = options.bos_token_id;
    if (auto ok = score_window(session, window, w.first_scored, score, stop); !ok) return forward_error(ok);
    ++done;
    if (progress)
      progress(static_cast<double>(done) / static_cast<double>(windows.size()), std::exp(score.mean()));
  }
  return finish(score, done);
}

}  // namespace expertscope
