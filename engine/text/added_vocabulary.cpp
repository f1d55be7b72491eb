// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/added_vocabulary.h"

#include <algorithm>
#include <utility>

namespace expertscope {

AddedVocabulary::AddedVocabulary(const TokenModel& model) : model_(&model) {}

const AddedToken* AddedVocabulary::find(std::string_view content) const {
  const auto it = indices_.find(content);
  return it == indices_.end() ? nullptr : &tokens_[it->second];
}

void AddedVocabulary::add(AddedToken token) {
  if (token.content.empty()) return;
  const auto [it, is_new] = indices_.emplace(token.content, static_cast<std::int32_t>(tokens_.size()));
  if (is_new) {
    const auto known = model_->find(token.content);
    const auto size = static_cast<std::int32_t>(model_->vocabulary().size());
    token.id = known >= 0 ? known : std::max(largest_ + 1, size);
    largest_ = std::max(largest_, token.id);
    tokens_.push_back(std::move(token));
    return;
  }
  AddedToken& there = tokens_[it->second];
  token.id = there.id;
  token.special = token.special || there.special;
  there = std::move(token);
}

void AddedVocabulary::add(const DeclaredTokens& declared,
                          const std::map<std::int64_t, AddedToken>& of_tokenizer_json,
                          const std::stop_token& stop) {
  // Without a list of its own in tokenizer_config.json, the two older files are that list.
  auto numbered = declared.numbered;
  if (!declared.lists_tokens)
    for (const auto& [id, token] : of_tokenizer_json)
      numbered.insert_or_assign(id, token);
  const auto names = declared.names();
  for (auto& [id, token] : numbered) {
    if (stop.stop_requested()) return;
    token.special = token.special || names.contains(token.content);
    add(std::move(token));
  }
  for (const auto* tokens : {&declared.named, &declared.extra})
    for (const auto& token : *tokens)
      if (find(token.content) == nullptr) add(token);
}

std::string renumbered_warning(const std::string& file, const NumberedTokens& declared,
                               const AddedVocabulary& tokens) {
  std::size_t count = 0;
  std::string first;
  for (const auto& [id, token] : declared) {
    const auto* there = tokens.find(token.content);
    if (there == nullptr || there->id == id) continue;
    if (count++ == 0) first = fmt::format("{} has id {}, not {}", json_excerpt(token.content), there->id, id);
  }
  if (count == 0) return {};
  const auto others = count > 1 ? fmt::format(" and {} more", count - 1) : std::string();
  return fmt::format("{}: added tokens are numbered without gaps, as transformers does: {}{}.", file, first,
                     others);
}

}  // namespace expertscope
