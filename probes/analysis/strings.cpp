// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

// Counts of experts x token ids that are held at a time (16 bytes each); more experts take another pass.
constexpr std::size_t kMostCells = std::size_t{1} << 23;
constexpr std::size_t kMostPasses = 64;
// Counts of all layers together: about a minute.
constexpr double kMostWork = 4e9;
constexpr std::size_t kMostRows = 2'000'000;

/// Token ids of the range, numbered in the order in which they come.
struct Ids {
  std::vector<std::int32_t> id;           ///< [ids]
  std::vector<std::int64_t> occurrences;  ///< [ids]
  std::vector<std::int32_t> number_of;    ///< [tokens] index into `id`

  explicit Ids(const RunTokens& tokens) {
    std::unordered_map<std::int32_t, std::int32_t> known;
    for (const std::int32_t token_id : tokens.id) {
      const auto [at, is_new] = known.emplace(token_id, static_cast<std::int32_t>(id.size()));
      if (is_new) {
        id.push_back(token_id);
        occurrences.push_back(0);
      }
      ++occurrences[at->second];
      number_of.push_back(at->second);
    }
  }
};

struct Cell {
  std::int64_t count = 0;
  double weight = 0;
};

/// What is asked for.
struct Request {
  TokenRange range;
  std::int64_t expert = -1;
  std::int64_t most = 0;
  std::int64_t min_count = 1;
  bool by_share = false;
};

/// A string of an expert that is listed.
struct Listed {
  int expert = 0;
  std::size_t number = 0;  ///< of its id
  Cell cell;
};

/// What the strings of one expert say together.
struct Summary {
  int expert = 0;
  std::int64_t slots = 0;
  std::int64_t strings = 0;
  double known = 0;  ///< sum of count x share
};

/// The strings of experts [begin, end) of one layer.
class Pass {
 public:
  Pass(const RunTokens& tokens, const Ids& ids, std::size_t begin, std::size_t end)
      : tokens_(&tokens), ids_(&ids), begin_(begin), end_(end), cells_((end - begin) * ids.id.size()) {}

  void add(const SlotBlock& slots) {
    std::size_t at = 0;
    for (int i = 0; i < slots.tokens; ++i) {
      const std::size_t number = ids_->number_of[tokens_->at(slots.first_token + i)];
      for (int slot = 0; slot < slots.slots; ++slot, ++at) {
        const std::size_t expert = slots.expert[at];
        if (expert < begin_ || expert >= end_) continue;  // kNoExpert too
        Cell& cell = cells_[(expert - begin_) * ids_->id.size() + number];
        ++cell.count;
        if (!slots.weight.empty()) cell.weight += slots.weight[at];
      }
    }
  }

  Summary sum_up(std::size_t expert) const {
    Summary summary;
    summary.expert = static_cast<int>(expert);
    for (std::size_t number = 0; number < ids_->id.size(); ++number) {
      const std::int64_t slots = cells_[(expert - begin_) * ids_->id.size() + number].count;
      if (slots == 0) continue;
      const auto count = static_cast<double>(slots);
      summary.slots += slots;
      ++summary.strings;
      summary.known += count * count / static_cast<double>(ids_->occurrences[number]);
    }
    return summary;
  }

  void list(std::size_t expert, const Request& request, std::vector<Listed>& listed) const {
    std::vector<Listed> all;
    for (std::size_t number = 0; number < ids_->id.size(); ++number) {
      const Cell& cell = cells_[(expert - begin_) * ids_->id.size() + number];
      if (cell.count >= request.min_count) all.push_back({static_cast<int>(expert), number, cell});
    }
    const auto before = [&](const Listed& a, const Listed& b) {
      const auto rank = [&](const Listed& string) {
        const auto count = static_cast<double>(string.cell.count);
        const double share = count / static_cast<double>(ids_->occurrences[string.number]);
        return std::tuple(request.by_share ? -share : -count, request.by_share ? -count : -share,
                          ids_->id[string.number]);
      };
      return rank(a) < rank(b);
    };
    const std::size_t most = std::min(all.size(), static_cast<std::size_t>(request.most));
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most), all.end(), before);
    listed.insert(listed.end(), all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most));
  }

 private:
  const RunTokens* tokens_;
  const Ids* ids_;
  std::size_t begin_;
  std::size_t end_;
  std::vector<Cell> cells_;  ///< [end - begin, ids]
};

/// What the passes read.
struct Source {
  const RunData& data;
  const RunTokens& tokens;
  const Ids& ids;
  const Request& request;
  const std::stop_token& stop;
};

/// What is found in one layer.
struct Found {
  std::vector<Listed> listed;
  std::vector<Summary> summaries;
};

Result<Found> strings_of_layer(const Source& source, int layer) {
  const Request& request = source.request;
  const bool one = request.expert >= 0;
  const std::size_t first = one ? static_cast<std::size_t>(request.expert) : 0;
  const std::size_t end = one ? first + 1 : static_cast<std::size_t>(source.data.info().experts);
  const std::size_t ids = source.ids.id.size();
  const std::size_t step = std::max<std::size_t>(1, kMostCells / std::max<std::size_t>(1, ids));
  if ((end - first) / step >= kMostPasses) {
    return fail(ErrorCode::unsupported, "strings: {} experts x {} different tokens are too many; ask for one",
                end - first, ids);
  }
  Found found;
  for (std::size_t begin = first; begin < end; begin += step) {
    Pass pass(source.tokens, source.ids, begin, std::min(begin + step, end));
    const auto add = [&pass](const SlotBlock& slots) { pass.add(slots); };
    auto status = source.data.visit_slots(layer, request.range, SlotWeights::with, source.stop, add);
    if (!status) return forward_error(status);
    for (std::size_t expert = begin; expert < std::min(begin + step, end); ++expert) {
      found.summaries.push_back(pass.sum_up(expert));
      pass.list(expert, request, found.listed);
    }
  }
  return found;
}

std::vector<ColumnInfo> key_infos() {
  return {
      layer_column(), expert_column(), {"token_id", "id", ColumnType::integer, "token id", "Of the token."}};
}

Table summary_table() {
  return {
      "experts",
      "How surely tokens are routed to an expert",
      TableKey::layer_expert,
      {layer_column(),
       expert_column(),
       {"count", "slots", ColumnType::integer, "slots", "Slots the expert ran in; of a shared one, tokens."},
       {"strings", "strings", ColumnType::integer, "strings", "Different tokens among them."},
       {"known_from_token", "known from token", ColumnType::number, "share",
        "Mean over the expert's slots of how often their token is routed to it: sum of count x share / "
        "slots. 1: the token alone decides."}},
      "known_from_token"};
}

void add_summaries(int layer, const std::vector<Summary>& summaries, Table& table) {
  for (const Summary& summary : summaries) {
    const double known = summary.slots > 0 ? summary.known / static_cast<double>(summary.slots) : NAN;
    table.add_row(layer, summary.expert, summary.slots, summary.strings, known);
  }
}

Table string_table() {
  std::vector<ColumnInfo> infos = key_infos();
  infos.insert(
      infos.end(),
      {{"token", "token", ColumnType::text, "token", "What it stands for."},
       {"count", "slots", ColumnType::integer, "slots", "Slots of the expert with this token."},
       {"share", "of them", ColumnType::number, "share",
        "Of the token's occurrences: count / how often it comes. How surely it is routed here."},
       {"mean_weight", "mean weight", ColumnType::number, "", "Of the combine weights of these slots."}});
  return {"strings", "Token strings", TableKey::expert_string, infos, "count"};
}

Table example_table() {
  std::vector<ColumnInfo> infos = key_infos();
  infos.insert(
      infos.end(),
      {{"domain", "domain", ColumnType::text, "", "Of the document; missing where it has none."},
       {"count", "slots", ColumnType::integer, "slots", "Slots of the expert with this token there."},
       {"at_token", "at token", ColumnType::integer, "token index", "Where its weight is largest."},
       {"weight", "weight", ColumnType::number, "", "The combine weight there."},
       {"before", "before", ColumnType::text, "token", "The text before it."},
       {"token", "token", ColumnType::text, "token", "The token."},
       {"after", "after", ColumnType::text, "token", "The text behind it."}});
  return {"examples", "Examples by domain", TableKey::example, infos, "count"};
}

/// Of one string in one domain: how often, and where with the largest weight.
struct Example {
  std::int64_t count = 0;
  std::int64_t token = -1;
  double weight = 0;

  void add(std::int64_t at, double slot_weight) {
    if (count++ == 0 || slot_weight > weight) {
      token = at;
      weight = slot_weight;
    }
  }
};

/// One row for each listed string of the one expert, and each domain in which it is routed there.
Status add_examples(const Source& source, int layer, const std::vector<Listed>& listed, Table& table) {
  const RunTokens& tokens = source.tokens;
  std::unordered_map<std::size_t, std::size_t> place;  // of a listed id
  for (std::size_t i = 0; i < listed.size(); ++i)
    place[listed[i].number] = i;
  std::map<std::pair<std::size_t, std::int32_t>, Example> examples;  // by place and domain
  const auto find = [&](const SlotBlock& slots) {
    for (std::size_t at = 0; at < slots.expert.size(); ++at) {
      if (slots.expert[at] != source.request.expert) continue;
      const std::int64_t token = slots.first_token + static_cast<std::int64_t>(at) / slots.slots;
      const auto listed_at = place.find(source.ids.number_of[tokens.at(token)]);
      if (listed_at == place.end()) continue;
      const double weight = slots.weight.empty() ? NAN : static_cast<double>(slots.weight[at]);
      examples[{listed_at->second, tokens.domain[tokens.at(token)]}].add(token, weight);
    }
  };
  if (auto status =
          source.data.visit_slots(layer, source.request.range, SlotWeights::with, source.stop, find);
      !status)
    return status;
  for (const auto& [key, example] : examples) {
    if (auto status = go_on(source.stop); !status) return status;
    const auto context = token_context(source.data.reader(), source.data.info().id, example.token);
    if (!context) return forward_error(context);
    std::optional<std::string> domain;
    if (key.second >= 0) domain = tokens.domains[key.second];
    table.add_row(layer, source.request.expert, std::int64_t{source.ids.id[listed[key.first].number]},
                  std::move(domain), example.count, example.token, example.weight, context->before,
                  context->bytes, context->after);
  }
  return {};
}

/// What token ids stand for, each read once.
class Words {
 public:
  explicit Words(const RunData& data) : data_(&data) {}

  Result<std::string> of(std::int32_t id) {
    const auto known = words_.find(id);
    if (known != words_.end()) return known->second;
    auto word = data_->reader().token_bytes(data_->info().id, id);
    if (word) words_.emplace(id, *word);
    return word;
  }

 private:
  const RunData* data_;
  std::unordered_map<std::int32_t, std::string> words_;
};

Status add_strings(const Source& source, int layer, const std::vector<Listed>& listed, Words& words,
                   Table& table) {
  for (const Listed& string : listed) {
    const std::int32_t id = source.ids.id[string.number];
    auto word = words.of(id);
    if (!word) return forward_error(word);
    const auto count = static_cast<double>(string.cell.count);
    const bool weighed = source.data.info().probes.routing;
    table.add_row(layer, string.expert, id, std::move(*word), string.cell.count,
                  count / static_cast<double>(source.ids.occurrences[string.number]),
                  weighed ? string.cell.weight / count : NAN);
  }
  return {};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options& options,
                           const std::stop_token& stop) {
  const auto layers = data.moe_layers(options.integer("layer"));
  if (!layers) return forward_error(layers);
  const int experts = data.info().experts;
  if (options.integer("expert") >= 0) {
    if (auto there = data.check_expert(layers->front(), options.integer("expert")); !there)
      return forward_error(there);
  }
  const auto tokens = data.tokens(range);
  if (!tokens) return forward_error(tokens);
  const Request request{range, options.integer("expert"), options.integer("most"),
                        options.integer("min_count"), options.text("order") == "share"};
  const Ids ids(**tokens);
  const double each = request.expert >= 0 ? 1 : experts;
  if (each * static_cast<double>(layers->size() * ids.id.size()) > kMostWork)
    return fail(ErrorCode::unsupported, "strings of {} layers x {} experts are too many; ask for one layer",
                layers->size(), experts);
  const Source source{data, **tokens, ids, request, stop};
  Words words(data);
  Table summaries = summary_table();
  Table strings = string_table();
  Table examples = example_table();
  const bool one = layers->size() == 1 && request.expert >= 0;
  for (const int layer : *layers) {
    const auto found = strings_of_layer(source, layer);
    if (!found) return forward_error(found);
    add_summaries(layer, found->summaries, summaries);
    auto status = add_strings(source, layer, found->listed, words, strings);
    if (status && one) status = add_examples(source, layer, found->listed, examples);
    if (!status) return forward_error(status);
    if (strings.rows() > kMostRows)
      return fail(ErrorCode::unsupported, "these are more than {} strings; ask for fewer", kMostRows);
  }
  AnalysisResult result;
  result.tables.push_back(std::move(summaries));
  result.tables.push_back(std::move(strings));
  if (one) result.tables.push_back(std::move(examples));
  return result;
}

}  // namespace

Analysis strings_analysis() {
  constexpr auto kInteger = ColumnType::integer;
  return {
      "strings",
      "Token strings of an expert",
      "Which tokens an expert runs for: count, its slots with a token; share, count / how often the token "
      "comes in the run; mean_weight, over these slots; known_from_token, their mean share, each slot "
      "weighing alike. Of one expert (--layer and --expert), each string "
      "also has an example for each domain: the place with the largest combine weight.",
      "token specialisation: N. Muennighoff et al. 2024 (OLMoE), arXiv 2409.02060",
      {Input::selections},
      {{"layer", kInteger, std::int64_t{-1}, "The layer; -1: all.", -1, 1e6},
       {"expert", kInteger, std::int64_t{-1}, "The expert; -1: all.", -1, 1e6},
       {"most", kInteger, std::int64_t{10}, "Strings of an expert that are listed.", 1, 10000},
       {"min_count", kInteger, std::int64_t{1}, "Leave out strings of fewer slots.", 1, 1e15},
       {"order",
        ColumnType::text,
        "count",
        "What the first strings have most of.",
        0,
        0,
        {"count", "share"}}},
      {summary_table(), string_table(), example_table()},
      run};
}

}  // namespace expertscope
