// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/probes/analysis/planted_trace.h"

#include <algorithm>
#include <cmath>
#include <fstream>

namespace expertscope::testing {
namespace {

nlohmann::json read_golden() {
  std::ifstream in(EXPERTSCOPE_SOURCE_DIR "/tests/data/golden/analyses.json");
  return nlohmann::json::parse(in);
}

/// Tokens [begin, end) of the recording as a backend would deliver them.
void fill(const nlohmann::json& golden, int begin, int end, CaptureBlock& block) {
  const int layers = static_cast<int>(golden["moe_layer"].size());
  const int moe_layers = static_cast<int>(golden["expert"].size());
  const int slots = golden["slots"];
  block.prepare(CaptureRequest::standard(), {.tokens = end - begin,
                                             .layers = layers,
                                             .moe_layers = moe_layers,
                                             .slots = slots,
                                             .experts = golden["experts"]});
  for (int t = 0; t < end - begin; ++t) {
    const auto& token = golden["tokens"][begin + t];
    block.sequence[t] = token[0];
    block.position[t] = token[1];
    block.token_id[t] = token[2];
    block.log_prob[t] = -0.5f;
    for (int m = 0; m < moe_layers; ++m) {
      block.entropy[m * (end - begin) + t] = golden["entropy"][m][begin + t];
      for (int s = 0; s < slots; ++s) {
        const std::size_t at = block.slot_index(m, t, s);
        block.expert[at] = golden["expert"][m][(begin + t) * slots + s];
        block.weight[at] = golden["weight"][m][(begin + t) * slots + s];
      }
    }
    for (int layer = 0; layer < layers; ++layer) {
      const int at = layer * (end - begin) + t;
      block.first_token_attention[at] = golden["attention"][layer][begin + t];
      block.hidden_max[at] = golden["hidden_max"][layer][begin + t];
      block.hidden_channel[at] = golden["hidden_channel"][layer][begin + t];
    }
  }
}

void expect_value(const Column& column, std::size_t row, const nlohmann::json& expected) {
  if (expected.is_null()) {
    EXPECT_FALSE(column.has(row)) << column.info().id;
  } else if (expected.is_string()) {
    EXPECT_EQ(column.text(row), expected.get<std::string>()) << column.info().id;
  } else if (expected.is_number_float()) {
    const double number = expected;
    EXPECT_NEAR(column.number(row), number, 1e-9 * std::max(1e-3, std::abs(number))) << column.info().id;
  } else {
    const auto number =
        expected.is_boolean() ? std::int64_t{expected.get<bool>()} : expected.get<std::int64_t>();
    EXPECT_EQ(column.integer(row), number) << column.info().id;
  }
}

}  // namespace

PlantedTrace::PlantedTrace() : golden_(read_golden()) {
  record();
  reader_ = open_trace(folder_ / "planted.db");
  data_ = std::make_unique<RunData>(*reader_, value_of(reader_->run(1)));
}

void PlantedTrace::record() {
  Shape shape;
  shape.moe_layer = golden_["moe_layer"].get<std::vector<std::uint8_t>>();
  shape.experts = golden_["experts"];
  shape.slots = golden_["slots"];
  shape.hidden_size = golden_["hidden_size"];
  RunInfo info = run_info(shape);
  info.top_k = golden_["top_k"];
  RecorderOptions options;
  options.full = true;
  options.token_bytes = [](std::int32_t id) { return "t" + std::to_string(id); };
  auto recorder = value_of(Recorder::start(folder_ / "planted.db", info, options));
  const auto& tokens = golden_["tokens"];
  const int size = static_cast<int>(tokens.size());
  for (int begin = 0, end = 0; begin < size; begin = end) {
    if (tokens[begin][1] == 0) {
      const auto& domain = golden_["domains"][tokens[begin][3].get<std::size_t>()];
      recorder->set_domain(tokens[begin][0].get<int>(), domain.get<std::string>());
    }
    end = begin + 1;
    while (end < size && tokens[end][1] != 0)  // a sequence begins with a block
      ++end;
    auto block = recorder->acquire();
    fill(golden_, begin, end, *block);
    ASSERT_OK(recorder->deliver(std::move(block)));
  }
  ASSERT_OK(recorder->finish("finished"));
}

AnalysisResult PlantedTrace::run(const std::string& id,
                                 const std::vector<std::pair<std::string, std::string>>& options,
                                 const TokenRange& range) {
  const Analysis* analysis = find_analysis(id);
  if (analysis == nullptr) {
    ADD_FAILURE() << "no analysis " << id;
    return {};
  }
  Options chosen(analysis->options);
  for (const auto& [option, word] : options)
    EXPECT_TRUE(chosen.set(option, value_of(parse_option(*analysis->find_option(option), word)))) << option;
  return value_of(run_analysis(*analysis, *data_, range, chosen));
}

void expect_rows(const Table& table, const nlohmann::json& rows, const std::vector<std::string>& columns) {
  ASSERT_EQ(table.rows(), rows.size()) << table.id;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Column* column = table.find(columns[i]);
    ASSERT_NE(column, nullptr) << table.id << " has no column " << columns[i];
    for (std::size_t row = 0; row < rows.size(); ++row) {
      SCOPED_TRACE(table.id + ", row " + std::to_string(row));
      expect_value(*column, row, rows[row][i]);
    }
  }
}

}  // namespace expertscope::testing
