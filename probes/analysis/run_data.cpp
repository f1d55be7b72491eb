// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/run_data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

namespace expertscope {
namespace {

// Tokens read at a time: rows of the reader are wider than what is kept of them.
constexpr std::int64_t kChunk = 1 << 16;

template <class T>
std::shared_ptr<const T> shared(T value) {
  return std::make_shared<const T>(std::move(value));
}

// Domains of the tokens' sequences, and which one each token has.
void set_domains(const std::vector<SequenceInfo>& sequences, RunTokens& tokens) {
  std::unordered_map<int, std::int32_t> domain_of;  // by number of the sequence; -1: none
  for (const std::int32_t number : tokens.sequence)
    domain_of.emplace(number, -1);
  std::map<std::string, std::vector<int>> of_domain;
  for (const SequenceInfo& sequence : sequences) {
    if (!sequence.domain.empty() && domain_of.count(sequence.number) > 0)
      of_domain[sequence.domain].push_back(sequence.number);
  }
  for (const auto& [domain, numbers] : of_domain) {
    for (const int number : numbers)
      domain_of[number] = static_cast<std::int32_t>(tokens.domains.size());
    tokens.domains.push_back(domain);
  }
  for (const std::int32_t number : tokens.sequence)
    tokens.domain.push_back(domain_of[number]);
}

/// Where values of a layer are added up.
struct Sums {
  std::int64_t& tokens;
  double& sum;
  double& min;
  double& max;
};

void add_up(const std::vector<float>& values, Sums sums) {
  for (const float each : values) {
    const double value = each;
    if (!std::isfinite(value)) continue;  // not measured
    sums.sum += value;
    const bool first = sums.tokens++ == 0;
    if (first || value < sums.min) sums.min = value;
    if (first || value > sums.max) sums.max = value;
  }
}

/// What is known of tokens that do not count is as if it were not measured.
void leave_out(const CountedTokens* counted, std::int64_t first, std::vector<float>& values) {
  for (std::size_t at = 0; counted != nullptr && at < values.size(); ++at) {
    if (!counts(counted, first + static_cast<std::int64_t>(at)))
      values[at] = std::numeric_limits<float>::quiet_NaN();
  }
}

/// The same of their slots: empty.
void leave_out(const CountedTokens* counted, const SlotBlock& slots, std::vector<std::uint16_t>& experts) {
  experts.assign(slots.expert.begin(), slots.expert.end());
  for (int i = 0; i < slots.tokens; ++i) {
    if (counts(counted, slots.first_token + i)) continue;
    const auto begin = experts.begin() + static_cast<std::ptrdiff_t>(i) * slots.slots;
    std::fill(begin, begin + slots.slots, kNoExpert);
  }
}

}  // namespace

Status go_on(const std::stop_token& stop) {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
  return {};
}

bool is_same_token(const TokenRow& a, const TokenRow& b) {
  return a.id == b.id && a.sequence == b.sequence && a.position == b.position;
}

Result<RunData> RunData::open(const TraceReader& reader, std::int64_t run) {
  auto info = reader.run(run);
  if (!info) return forward_error(info);
  return RunData(reader, std::move(*info));
}

std::vector<int> RunData::moe_layers() const {
  std::vector<int> layers;
  for (std::size_t layer = 0; layer < info_.moe_layer.size(); ++layer) {
    if (info_.moe_layer[layer] != 0) layers.push_back(static_cast<int>(layer));
  }
  return layers;
}

Result<std::vector<int>> RunData::moe_layers(std::int64_t wanted) const {
  std::vector<int> layers = moe_layers();
  if (wanted < 0) return layers;
  if (std::find(layers.begin(), layers.end(), wanted) == layers.end())
    return fail(ErrorCode::invalid_argument, "run {} has no router in layer {}", info_.id, wanted);
  return std::vector<int>{static_cast<int>(wanted)};
}

Status RunData::check_expert(std::int64_t layer, std::int64_t expert) const {
  if (auto there = moe_layers(std::max<std::int64_t>(layer, 0)); !there) return forward_error(there);
  if (expert >= 0 && expert < info_.experts) return {};
  const auto& shared = info_.shared_layer;
  if (expert == kSharedExpert && !shared.empty() && shared[static_cast<std::size_t>(layer)] != 0) return {};
  return fail(ErrorCode::invalid_argument, "layer {} of run {} has {} experts, and none is {}", layer,
              info_.id, info_.experts, expert == kSharedExpert ? "shared" : std::to_string(expert));
}

TokenRange RunData::covered(const TokenRange& range) const {
  const std::int64_t begin = std::clamp<std::int64_t>(range.begin, 0, info_.tokens);
  return {begin, std::clamp<std::int64_t>(range.end, begin, info_.tokens)};
}

Result<TokenContext> token_context(const TraceReader& reader, std::int64_t run, std::int64_t token) {
  constexpr std::int64_t kTokens = 6;
  const auto rows = reader.tokens(run, {std::max<std::int64_t>(0, token - kTokens), token + kTokens + 1});
  if (!rows) return forward_error(rows);
  const auto self =
      std::find_if(rows->begin(), rows->end(), [token](const TokenRow& row) { return row.index == token; });
  TokenContext context;
  if (self == rows->end()) return context;
  context.bytes = self->bytes;
  for (auto row = rows->begin(); row != rows->end(); ++row) {
    if (row->sequence != self->sequence || row == self) continue;
    (row < self ? context.before : context.after) += row->bytes;
  }
  return context;
}

Result<std::vector<std::string>> RunData::domains() {
  const auto all = sequences();
  if (!all) return forward_error(all);
  std::set<std::string> names;
  for (const SequenceInfo& sequence : **all) {
    if (!sequence.domain.empty()) names.insert(sequence.domain);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Status RunData::set_domain(const std::string& domain) {
  if (domain == domain_) return {};
  domain_.clear();
  counted_.reset();
  domain_sequences_.clear();
  table_ = {};
  layers_ = {};
  tokens_ = {};
  if (domain.empty()) return {};
  const auto tokens = this->tokens({});
  if (!tokens) return forward_error(tokens);
  CountedTokens counted((*tokens)->size());
  const auto& names = (*tokens)->domains;
  const auto number = std::find(names.begin(), names.end(), domain) - names.begin();
  for (std::size_t at = 0; at < counted.size(); ++at) {
    counted[at] = (*tokens)->domain[at] == number ? 1 : 0;
    if (counted[at] != 0) domain_sequences_.insert((*tokens)->sequence[at]);
  }
  tokens_ = {};
  domain_ = domain;
  counted_ = shared(std::move(counted));
  return {};
}

Result<std::shared_ptr<const ExpertTable>> RunData::expert_table(const TokenRange& range) {
  if (table_.is_of(range)) return table_.value;
  auto table = is_whole(range) ? reader_->expert_table(info_.id)
                               : reader_->expert_table(info_.id, covered(range),
                                                       domain_.empty() ? nullptr : &domain_sequences_);
  if (!table) return forward_error(table);
  table_ = {range, shared(std::move(*table))};
  return table_.value;
}

Result<std::shared_ptr<const std::vector<LayerStats>>> RunData::layer_stats(const TokenRange& range) {
  if (layers_.is_of(range)) return layers_.value;
  auto layers = is_whole(range) ? reader_->layer_stats(info_.id) : add_up_layers(covered(range));
  if (!layers) return forward_error(layers);
  layers_ = {range, shared(std::move(*layers))};
  return layers_.value;
}

Result<std::vector<LayerStats>> RunData::add_up_layers(const TokenRange& range) const {
  std::vector<LayerStats> layers(info_.moe_layer.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const int layer = static_cast<int>(i);
    LayerStats& stats = layers[i];
    for (std::int64_t token = range.begin; token < range.end; ++token)
      stats.tokens += counts(counted(), token) ? 1 : 0;
    auto entropy = reader_->entropy(info_.id, layer, range);
    if (!entropy) return forward_error(entropy);
    leave_out(counted(), range.begin, *entropy);
    add_up(*entropy, {stats.entropy_tokens, stats.entropy_sum, stats.entropy_min, stats.entropy_max});
    auto attention = reader_->first_token_attention(info_.id, layer, range);
    if (!attention) return forward_error(attention);
    leave_out(counted(), range.begin, *attention);
    add_up(*attention,
           {stats.attention_tokens, stats.attention_sum, stats.attention_min, stats.attention_max});
    auto hidden = reader_->hidden_max(info_.id, layer, range);
    if (!hidden) return forward_error(hidden);
    leave_out(counted(), range.begin, *hidden);
    for (std::size_t at = 0; at < hidden->size(); ++at) {
      const double value = (*hidden)[at];
      if (!std::isfinite(value) || (stats.hidden_token >= 0 && value <= stats.hidden_max)) continue;
      stats.hidden_max = value;
      stats.hidden_token = range.begin + static_cast<std::int64_t>(at);
    }
  }
  return layers;
}

Result<std::shared_ptr<const std::vector<SequenceInfo>>> RunData::sequences() {
  if (sequences_) return sequences_;
  auto sequences = reader_->sequences(info_.id);
  if (!sequences) return forward_error(sequences);
  sequences_ = shared(std::move(*sequences));
  return sequences_;
}

Result<std::shared_ptr<const RunTokens>> RunData::tokens(const TokenRange& range) {
  if (tokens_.is_of(range)) return tokens_.value;
  auto tokens = read_tokens(covered(range));
  if (!tokens) return forward_error(tokens);
  tokens_ = {range, shared(std::move(*tokens))};
  return tokens_.value;
}

Result<RunTokens> RunData::read_tokens(const TokenRange& range) {
  const auto sequences = this->sequences();
  if (!sequences) return forward_error(sequences);
  RunTokens tokens;
  tokens.first = range.begin;
  for (std::int64_t begin = range.begin; begin < range.end; begin += kChunk) {
    const TokenRange chunk{begin, std::min(begin + kChunk, range.end)};
    const auto rows = reader_->tokens(info_.id, chunk, TokenWords::without);
    if (!rows) return forward_error(rows);
    if (rows->empty()) break;  // a damaged trace may claim more than anybody waits for
    for (const TokenRow& row : *rows) {
      tokens.id.push_back(row.id);
      tokens.sequence.push_back(row.sequence);
      tokens.log_prob.push_back(row.log_prob.value_or(std::numeric_limits<float>::quiet_NaN()));
      tokens.generated.push_back(row.generated ? 1 : 0);
    }
  }
  if (tokens.id.size() != static_cast<std::size_t>(range.end - range.begin)) {
    return fail(ErrorCode::format, "{}: damaged trace: column_block of run {} holds {} tokens from {} to {}",
                reader_->file().string(), info_.id, tokens.id.size(), range.begin, range.end);
  }
  set_domains(**sequences, tokens);
  leave_out(counted(), range.begin, tokens.log_prob);
  for (std::size_t at = 0; counted() != nullptr && at < tokens.size(); ++at) {
    if (!counts(counted(), range.begin + static_cast<std::int64_t>(at)))
      tokens.id[at] = tokens.domain[at] = -1;
  }
  return tokens;
}

Status RunData::visit_slots(int layer, const TokenRange& range, SlotWeights weights,
                            const std::stop_token& stop,
                            const std::function<void(const SlotBlock& slots)>& visit) const {
  bool good = true;
  std::vector<std::uint16_t> experts;
  const auto check_and_visit = [&](const SlotBlock& slots) {
    good = std::all_of(slots.expert.begin(), slots.expert.end(), [this](std::uint16_t expert) {
      return expert == kNoExpert || expert < info_.experts;
    });
    if (good && !stop.stop_requested() && counted() == nullptr) visit(slots);
    if (good && !stop.stop_requested() && counted() != nullptr) {
      leave_out(counted(), slots, experts);
      SlotBlock part = slots;
      part.expert = experts;
      visit(part);
    }
    return good && !stop.stop_requested();
  };
  auto status = reader_->visit_slots(info_.id, layer, covered(range), weights, check_and_visit);
  if (!status) return status;
  if (!good) {
    return fail(ErrorCode::format,
                "{}: damaged trace: column_block of run {}, layer {}: an expert id is too large",
                reader_->file().string(), info_.id, layer);
  }
  return go_on(stop);
}

}  // namespace expertscope
