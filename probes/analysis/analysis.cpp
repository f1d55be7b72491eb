// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/analysis.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "probes/analysis/run_data.h"

namespace expertscope {

// Each in its own file.
#define ANALYSIS(name) Analysis name##_analysis();
#include "probes/analysis/analyses.def"
#undef ANALYSIS

namespace {

template <class Items>
auto find_by_id(const Items& items, std::string_view id) {
  return std::find_if(items.begin(), items.end(), [&](const auto& item) { return item.id == id; });
}

template <class Number>
bool read_number(std::string_view word, Number& number) {
  const char* end = word.data() + word.size();
  const auto parsed = std::from_chars(word.data(), end, number);
  return parsed.ec == std::errc{} && parsed.ptr == end;
}

tl::unexpected<Error> bad_option(const OptionInfo& option, std::string_view word, const std::string& may_be) {
  return fail(ErrorCode::invalid_argument, "{} is {}, and may be {}", option.id,
              word.empty() ? "nothing" : word, may_be);
}

}  // namespace

std::string_view input_name(Input input) {
  switch (input) {
    case Input::selections:
      return "the experts of the tokens";
    case Input::routing:
      return "routing";
    case Input::expert_output:
      return "expert outputs";
    case Input::entropy:
      return "router entropy";
    case Input::attention:
      return "attention on the first token";
    case Input::hidden:
      return "hidden states";
    case Input::log_prob:
      return "log-probabilities";
    case Input::domains:
      return "sequences of at least two domains";
    case Input::baseline:
      return "a baseline run";
  }
  return {};
}

Result<bool> has_input(RunData& data, Input input) {
  const CaptureRequest& probes = data.info().probes;
  switch (input) {
    case Input::selections:
      return probes.routing || probes.expert_output;
    case Input::routing:
      return probes.routing;
    case Input::expert_output:
      return probes.expert_output;
    case Input::entropy:
      return probes.entropy;
    case Input::attention:
      return probes.attention;
    case Input::hidden:
      return probes.hidden;
    case Input::log_prob:
      return probes.log_prob;
    case Input::baseline:
      return data.baseline() != nullptr;
    case Input::domains:
      break;
  }
  const auto sequences = data.sequences();
  if (!sequences) return forward_error(sequences);
  const std::string* first = nullptr;
  for (const SequenceInfo& sequence : **sequences) {
    if (sequence.domain.empty()) continue;
    if (first == nullptr) first = &sequence.domain;
    if (sequence.domain != *first) return true;
  }
  return false;
}

Result<Value> parse_option(const OptionInfo& option, std::string_view word) {
  switch (option.type) {
    case ColumnType::text: {
      const bool known = option.choices.empty() || std::find(option.choices.begin(), option.choices.end(),
                                                             word) != option.choices.end();
      if (!known) return bad_option(option, word, fmt::format("{}", fmt::join(option.choices, "|")));
      return std::string(word);
    }
    case ColumnType::flag:
      if (word != "true" && word != "false") return bad_option(option, word, "true|false");
      return word == "true";
    case ColumnType::integer: {
      std::int64_t number = 0;
      const bool good = read_number(word, number) && static_cast<double>(number) >= option.least &&
                        static_cast<double>(number) <= option.most;
      if (!good)
        return bad_option(option, word,
                          fmt::format("a whole number from {} to {}", option.least, option.most));
      return number;
    }
    case ColumnType::number:
      break;
  }
  double number = 0;
  const bool good = read_number(word, number) && number >= option.least && number <= option.most;
  if (!good)
    return bad_option(option, word, fmt::format("a number from {} to {}", option.least, option.most));
  return number;
}

Options::Options(const std::vector<OptionInfo>& options) {
  for (const OptionInfo& option : options)
    values_.push_back({{option.id, option.id, option.type, {}, option.meaning}, option.initial});
}

bool Options::set(std::string_view id, Value value) {
  const auto found = std::find_if(values_.begin(), values_.end(),
                                  [&](const NamedValue& named) { return named.info.id == id; });
  if (found == values_.end()) return false;
  found->value = std::move(value);
  return true;
}

const Value& Options::value(std::string_view id) const {
  static const Value kNone;
  const auto found = std::find_if(values_.begin(), values_.end(),
                                  [&](const NamedValue& named) { return named.info.id == id; });
  return found == values_.end() ? kNone : found->value;
}

std::int64_t Options::integer(std::string_view id) const {
  const auto* found = std::get_if<std::int64_t>(&value(id));
  return found == nullptr ? 0 : *found;
}
double Options::number(std::string_view id) const {
  const auto* found = std::get_if<double>(&value(id));
  return found == nullptr ? 0 : *found;
}
const std::string& Options::text(std::string_view id) const {
  static const std::string kNone;
  const auto* found = std::get_if<std::string>(&value(id));
  return found == nullptr ? kNone : *found;
}
bool Options::flag(std::string_view id) const {
  const auto* found = std::get_if<bool>(&value(id));
  return found != nullptr && *found;
}

const Table& AnalysisResult::main() const {
  const auto found = std::find_if(tables.rbegin(), tables.rend(),
                                  [](const Table& table) { return table.key != TableKey::example; });
  return found == tables.rend() ? tables.back() : *found;
}

const Table* AnalysisResult::find(std::string_view table_id) const {
  const auto found = find_by_id(tables, table_id);
  return found == tables.end() ? nullptr : &*found;
}

const Value* AnalysisResult::find_value(std::string_view value_id) const {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const NamedValue& named) { return named.info.id == value_id; });
  return found == values.end() ? nullptr : &found->value;
}

namespace {

/// An analysis of aggregates runs on those of a run.
std::vector<Analysis> with_run(std::vector<Analysis> all) {
  for (Analysis& analysis : all) {
    if (!analysis.of_aggregates) continue;
    analysis.run = [of = analysis.of_aggregates](RunData& data, const TokenRange& range, const Options&,
                                                 const std::stop_token&) -> Result<AnalysisResult> {
      const auto experts = data.expert_table(range);
      if (!experts) return forward_error(experts);
      return of(**experts);
    };
  }
  return all;
}

}  // namespace

const OptionInfo* Analysis::find_option(std::string_view option_id) const {
  const auto found = find_by_id(options, option_id);
  return found == options.end() ? nullptr : &*found;
}

const std::vector<Analysis>& analyses() {
  static const std::vector<Analysis> kAll = with_run({
#define ANALYSIS(name) name##_analysis(),
#include "probes/analysis/analyses.def"
#undef ANALYSIS
  });
  return kAll;
}

const Analysis* find_analysis(std::string_view id) {
  const auto found = find_by_id(analyses(), id);
  return found == analyses().end() ? nullptr : &*found;
}

Options complete(const Analysis& analysis, const Options& given) {
  Options all(analysis.options);
  for (const NamedValue& each : given.values())
    all.set(each.info.id, each.value);
  return all;
}

Result<AnalysisResult> run_analysis(const Analysis& analysis, RunData& data, const TokenRange& range,
                                    const Options& options, const std::stop_token& stop) {
  for (const Input input : analysis.inputs) {
    const auto there = has_input(data, input);
    if (!there) return forward_error(there);
    if (*there) continue;
    return fail(ErrorCode::unsupported, "{}: run {} is without {}, which {} needs",
                data.reader().file().string(), data.info().id, input_name(input), analysis.id);
  }
  Options all = complete(analysis, options);
  auto result = analysis.run(data, range, all, stop);
  if (!result) return forward_error(result);
  result->id = analysis.id;
  result->options = std::move(all);
  return result;
}

}  // namespace expertscope
