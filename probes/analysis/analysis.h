// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "probes/analysis/results.h"
#include "probes/analysis/table.h"
#include "probes/store/trace_reader.h"

namespace expertscope {

class RunData;

/// What a run has to hold for an analysis.
enum class Input : std::uint8_t {
  selections,     ///< experts per slot
  routing,        ///< the same with combine weights
  expert_output,  ///< size of every expert's output
  entropy,        ///< of the router
  attention,      ///< on the first token
  hidden,         ///< maxima of the hidden states
  log_prob,       ///< of the tokens that came
  domains,        ///< at least two sequences with a domain
  baseline,       ///< another run to compare it with
};
std::string_view input_name(Input input);
/// Whether the run has it.
Result<bool> has_input(RunData& data, Input input);

/// An option of an analysis.
struct OptionInfo {
  std::string id;  ///< snake_case; on the command line with dashes
  ColumnType type = ColumnType::number;
  Value initial;        ///< its value where nothing else is asked for
  std::string meaning;  ///< a sentence
  double least = 0;     ///< bounds of a number
  double most = 0;
  std::vector<std::string> choices = {};  ///< what a text may be
};
/// A value of the option's type out of a word; the error says what it may be.
Result<Value> parse_option(const OptionInfo& option, std::string_view word);

/// Every option of an analysis with its value.
class Options {
 public:
  Options() = default;
  /// Those of an analysis, at their standard values.
  explicit Options(const std::vector<OptionInfo>& options);

  /// False: there is no such option.
  bool set(std::string_view id, Value value);
  std::int64_t integer(std::string_view id) const;
  double number(std::string_view id) const;
  const std::string& text(std::string_view id) const;
  bool flag(std::string_view id) const;
  const std::vector<NamedValue>& values() const { return values_; }

 private:
  const Value& value(std::string_view id) const;
  std::vector<NamedValue> values_;
};

/// What an analysis found. Tables go from the summary to the detail: the last one is what CSV and a table
/// view show.
struct AnalysisResult {
  std::string id;   ///< of the analysis
  Options options;  ///< it ran with
  std::vector<NamedValue> values = {};
  std::vector<Table> tables = {};  ///< those of the analysis; the summary comes before the detail
  /// What Analysis::extend goes on from; null where there is nothing to keep.
  std::shared_ptr<const void> state = nullptr;
  std::size_t state_bytes = 0;

  /// What CSV and a table view show: the last table whose key is not TableKey::example.
  const Table& main() const;
  /// Null: there is none.
  const Table* find(std::string_view table_id) const;
  const Value* find_value(std::string_view value_id) const;
};

/// One analysis: a pure function from a run to tables, and what there is to say about it.
struct Analysis {
  std::string id;  ///< "super-experts"
  std::string title;
  std::string definition;  ///< in sentences, with the formula
  std::string source;      ///< paper, public code; empty: common knowledge
  std::vector<Input> inputs;
  std::vector<OptionInfo> options;
  std::vector<Table> tables;  ///< empty ones: those of the result, and their columns
  /// Over the tokens of `range` that the run has. Blocking; ErrorCode::cancelled when stopped. May be left
  /// empty where there is `of_aggregates`.
  std::function<Result<AnalysisResult>(RunData& data, const TokenRange& range, const Options& options,
                                       const std::stop_token& stop)>
      run;
  /// Adds the tokens of `later`, which begin where those of `before` end, with the options of that: for runs
  /// that grow. May be empty; then all is computed again.
  std::function<Result<AnalysisResult>(RunData& data, const AnalysisResult& before, const TokenRange& later,
                                       const std::stop_token& stop)>
      extend = {};
  bool in_report = false;  ///< a section of its own, of runs that have the inputs
  /// What needs nothing but aggregates, and no option: at once, also of a run that is being recorded.
  std::function<AnalysisResult(const ExpertTable& experts)> of_aggregates = {};

  const OptionInfo* find_option(std::string_view option_id) const;
};

/// All analyses, in the order of analyses.def.
const std::vector<Analysis>& analyses();
/// Null: there is none.
const Analysis* find_analysis(std::string_view id);

/// Every option of the analysis: at its standard value where `given` does not have it.
Options complete(const Analysis& analysis, const Options& given);
/// Runs it; an option that is not given has its standard value. Refuses a run without the inputs, and names
/// what is missing.
Result<AnalysisResult> run_analysis(const Analysis& analysis, RunData& data, const TokenRange& range,
                                    const Options& options, const std::stop_token& stop = {});

}  // namespace expertscope
