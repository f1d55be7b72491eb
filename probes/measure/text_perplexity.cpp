// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/measure/text_perplexity.h"

#include <algorithm>
#include <vector>

#include "engine/text/tokenizer.h"

namespace expertscope {
namespace {

std::string joined_text(const Dataset& data) {
  std::string text;
  for (const Document& document : data.documents) {
    if (!text.empty()) text += "\n\n";
    text += document.text;
  }
  return text;
}

/// Id of the BOS token the tokenizer puts first by itself, or -1.
std::int32_t added_bos(const Tokenizer& tokenizer, const ModelConfig& config) {
  const auto ids = tokenizer.leading_ids();
  if (ids.empty()) return -1;
  return config.bos_token_id < 0 || ids.front() == config.bos_token_id ? ids.front() : -1;
}

std::string describe_bos(PerplexityProtocol protocol, std::int32_t bos) {
  if (bos < 0) return "none: the tokenizer adds none";
  if (protocol == PerplexityProtocol::hf) return fmt::format("token {} once, before the text", bos);
  return fmt::format("token {} in place of the first token of every window", bos);
}

PerplexityOptions resolve(const Session& session, const TextPerplexityOptions& asked, std::int32_t bos) {
  PerplexityOptions options;
  options.protocol = asked.protocol;
  const int usual = asked.protocol == PerplexityProtocol::hf ? 1024 : 512;
  options.context = asked.context > 0 ? asked.context : std::min(usual, session.options().max_context);
  options.stride = asked.stride > 0 ? asked.stride : std::max(1, options.context / 2);
  options.bos_token_id = asked.protocol == PerplexityProtocol::llamacpp ? bos : -1;
  return options;
}

}  // namespace

const char* protocol_name(PerplexityProtocol protocol) {
  return protocol == PerplexityProtocol::hf ? "hf" : "llamacpp";
}

Result<TextPerplexity> text_perplexity(Session& session, const Dataset& data,
                                       const TextPerplexityOptions& options,
                                       const TextPerplexityProgress& progress, const std::stop_token& stop) {
  const auto required = session.model().require_tokenizer();
  if (!required) return forward_error(required);
  const Tokenizer& tokenizer = **required;
  // Data of one document may have hundreds of megabytes: no copy.
  const bool single = data.documents.size() == 1;
  const std::string joined = single ? std::string() : joined_text(data);
  const std::string& text = single ? data.documents.front().text : joined;
  const auto tokens = tokenizer.encode(text);
  if (!tokens) return fail(tokens.error().code, "{}: {}", data.name, tokens.error().message);

  const std::int32_t bos = added_bos(tokenizer, session.model().config());
  TextPerplexity scored;
  scored.options = resolve(session, options, bos);
  scored.dataset = data.summary();
  scored.text_sha256 = sha256_hex(text);
  scored.bos_policy = describe_bos(options.protocol, bos);
  scored.tokens = static_cast<std::int64_t>(tokens->size());
  const auto report = [&](double fraction, double so_far) {
    if (!progress) return;
    progress(static_cast<std::int64_t>(fraction * static_cast<double>(scored.tokens)), scored.tokens, so_far);
  };
  auto result = perplexity(session, *tokens, scored.options, report, stop);
  if (!result) return forward_error(result);
  scored.result = *result;
  return scored;
}

}  // namespace expertscope
