// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/token_model.h"

#include <algorithm>

#include "engine/text/bpe.h"
#include "engine/text/unigram.h"

namespace expertscope {
namespace {

template <class Model>
Result<std::unique_ptr<const TokenModel>> kept(Result<Model> model) {
  if (!model) return forward_error(model);
  return std::make_unique<const Model>(std::move(*model));
}

constexpr std::string_view kSpace = "\u2581";

/// Whether U+2581 stands behind something else.
bool has_inner_space(std::string_view token) {
  for (auto at = token.find(kSpace); at != std::string_view::npos;
       at = token.find(kSpace, at + kSpace.size()))
    if (at > 0 && !token.substr(0, at).ends_with(kSpace)) return true;
  return false;
}

}  // namespace

void TokenModel::find_breaks() {
  // Without a token of its own, U+2581 may become one unknown token with what stands before it.
  breaks_before_spaces_ =
      find(kSpace) >= 0 && std::none_of(vocabulary_.begin(), vocabulary_.end(),
                                        [](const auto& entry) { return has_inner_space(entry.first); });
}

Result<std::unique_ptr<const TokenModel>> TokenModel::parse(const JsonFields& root, std::string_view key,
                                                            bool characters, const std::stop_token& stop) {
  const auto fields = root.object(key);
  if (!fields) return forward_error(fields);
  const auto type = fields->string_or("type", "BPE");
  if (!type) return forward_error(type);
  if (*type == "BPE") {
    const auto fallback = fields->boolean_or("byte_fallback", false);
    if (!fallback) return forward_error(fallback);
    if (*fallback && !characters)
      return fields->error(ErrorCode::unsupported, "byte_fallback",
                           "not supported with a ByteLevel pre-tokenizer");
    return kept(BpeModel::parse(root, key, stop, characters));
  }
  if (*type == "Unigram" && characters) return kept(UnigramModel::parse(*fields, stop));
  return fields->error(ErrorCode::unsupported, "type",
                       characters ? fmt::format("\"{}\" is not supported, only BPE and Unigram", *type)
                                  : fmt::format("\"{}\" with a ByteLevel pre-tokenizer, only BPE", *type));
}

}  // namespace expertscope
