// SPDX-License-Identifier: GPL-3.0-or-later
// A data set through a session into a trace, checked against what transformers says about the same tokens.
#include "probes/capture/profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/run/routing_policy.h"
#include "probes/analysis/analysis.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

const std::filesystem::path kData = std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / "tests" / "data";

nlohmann::json planted(const std::string& model = "planted_super_experts") {
  std::ifstream in(kData / "golden" / model / "planted.json");
  return nlohmann::json::parse(in, nullptr, false);
}

Dataset planted_texts(const nlohmann::json& golden) {
  Dataset data;
  data.name = "planted";
  data.sha256 = "0123";
  for (const auto& text : golden["texts"])
    data.documents.push_back({text.get<std::string>(), ""});
  return data;
}

std::unique_ptr<Session> session_of(const std::string& model, int sequences, int batch) {
  auto opened = value_of(Model::open(kData / "models" / model));
  if (opened == nullptr) return nullptr;
  BackendOptions options;
  options.math = MathMode::f32;
  options.threads = 2;
  options.max_sequences = sequences;
  options.max_context = 512;
  options.max_batch = batch;
  return value_of(Session::create(opened, options));
}

// A planted model, slots of the session and tokens of a batch.
struct PlantedCase {
  const char* model;
  int sequences;
  int batch;
};

// Two sequences of 320 tokens.
class PlantedProfile : public ::testing::TestWithParam<PlantedCase> {
 protected:
  void SetUp() override {
    golden_ = planted(GetParam().model);
    ASSERT_TRUE(golden_.is_object());
    session_ = session_of(GetParam().model, GetParam().sequences, GetParam().batch);
    ASSERT_NE(session_, nullptr);
    ProfileOptions options;
    options.sequence_length = 320;
    options.full = true;
    const auto profiled = profile(*session_, planted_texts(golden_), options, folder_ / "t.db");
    ASSERT_OK(profiled);
    result_ = *profiled;
    trace_ = open_trace(folder_ / "t.db");
    ASSERT_NE(trace_, nullptr);
    table_ = value_of(trace_->expert_table(result_.run));
  }

  void expect_super_experts(const nlohmann::json& expected, SuperExpertOptions options) const {
    const SuperExpertResult got = analyze_super_experts(table_, options);
    EXPECT_EQ(got.layers_included, expected["layers_counted"]);
    EXPECT_NEAR(got.percentile_threshold, expected["percentile_99_5"].get<double>(), 0.05);
    EXPECT_EQ(got.max_threshold, expected["tenth_of_max_floor"]);
    ASSERT_EQ(got.super_experts.size(), expected["super_experts"].size());
    for (std::size_t i = 0; i < got.super_experts.size(); ++i) {
      const auto& want = expected["super_experts"][i];
      EXPECT_EQ(got.super_experts[i].rank, want["rank"]);
      EXPECT_EQ(got.super_experts[i].layer, want["layer"]);
      EXPECT_EQ(got.super_experts[i].expert, want["expert"]);
      EXPECT_EQ(got.super_experts[i].channel, want["channel"]);
      EXPECT_NEAR(got.super_experts[i].output_max, want["max"].get<double>(), 0.05);
    }
  }

  TemporaryFolder folder_;
  nlohmann::json golden_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<TraceReader> trace_;
  ProfileResult result_;
  ExpertTable table_;
};

TEST_P(PlantedProfile, FindsThePlantedSuperExperts) {
  for (const auto definition : {SuperExpertDefinition::paper, SuperExpertDefinition::upstream}) {
    const auto& expected =
        golden_["definitions"][definition == SuperExpertDefinition::paper ? "paper" : "upstream"];
    SuperExpertOptions options;
    options.definition = definition;
    expect_super_experts(expected, options);
    options.include_layers = 1.0;
    expect_super_experts(expected["all_layers"], options);
  }
}

TEST_P(PlantedProfile, RecordsTheMaximaOfEveryExpert) {
  const auto& paper = golden_["definitions"]["paper"];
  const auto& upstream = golden_["definitions"]["upstream"];
  for (std::size_t n = 0; n < paper["output_max"].size(); ++n) {
    const int layer = static_cast<int>(n);
    const std::size_t columns = paper["output_max"][n].size();
    ASSERT_EQ(columns, static_cast<std::size_t>(table_.experts) + (table_.has_shared(layer) ? 1 : 0));
    for (std::size_t column = 0; column < columns; ++column) {
      const bool shared = column == static_cast<std::size_t>(table_.experts);  // the last one
      SCOPED_TRACE(::testing::Message() << "layer " << layer << ", column " << column);
      const ExpertStats& got = table_.at(layer, shared ? kSharedExpert : static_cast<int>(column));
      const double max = paper["output_max"][n][column];
      const double first = upstream["output_max"][n][column];
      EXPECT_NEAR(got.output_max, max, 1e-4 * max);
      EXPECT_EQ(got.output_channel, paper["output_max_channel"][n][column]);
      EXPECT_NEAR(got.first_row_max, first, 1e-4 * first);
      EXPECT_EQ(got.first_row_channel, upstream["output_max_channel"][n][column]);
    }
  }
}

TEST_P(PlantedProfile, RecordsLoadWeightsAndEntropy) {
  const LoadResult load = analyze_load(table_);
  const RunInfo run = value_of(trace_->run(result_.run));
  const EntropyResult entropy = analyze_entropy(value_of(trace_->layer_stats(result_.run)), run);
  ASSERT_EQ(load.layers.size(), golden_["load"].size());
  ASSERT_EQ(entropy.layers.size(), load.layers.size());
  for (std::size_t layer = 0; layer < load.layers.size(); ++layer) {
    EXPECT_EQ(nlohmann::json(load.layers[layer].count), golden_["load"][layer]);
    EXPECT_NEAR(load.layers[layer].jain, golden_["jain_fairness"][layer].get<double>(), 1e-6);
    EXPECT_NEAR(entropy.layers[layer].mean, golden_["mean_router_entropy"][layer].get<double>(), 1e-4);
    for (std::size_t expert = 0; expert < load.layers[layer].count.size(); ++expert) {
      EXPECT_NEAR(load.layers[layer].weight_sum[expert], golden_["weight_sum"][layer][expert].get<double>(),
                  1e-3);
    }
  }
}

TEST_P(PlantedProfile, RecordsTheTokensInTheirSequences) {
  EXPECT_EQ(result_.tokens, 640);
  EXPECT_EQ(result_.sequences, 2);
  EXPECT_EQ(result_.scored_tokens, 638) << "the first token of a sequence has no probability";
  const auto tokens = value_of(trace_->tokens(result_.run, {}));
  ASSERT_EQ(tokens.size(), 640u);
  double nll = 0;
  for (const TokenRow& token : tokens) {
    const auto& sequence = golden_["sequences"][static_cast<std::size_t>(token.sequence)];
    EXPECT_EQ(token.id, sequence[static_cast<std::size_t>(token.position)]);
    EXPECT_EQ(token.log_prob.has_value(), token.position > 0);
    EXPECT_FALSE(token.generated);
    nll -= static_cast<double>(token.log_prob.value_or(0.0f));
  }
  EXPECT_NEAR(nll / 638, result_.nll_mean, 1e-9);
  expect_same_table(table_, value_of(trace_->expert_table(result_.run, TokenRange{})));
}

// One by one, and both sequences at once in batches that cut them at odd places.
INSTANTIATE_TEST_SUITE_P(Batches, PlantedProfile,
                         ::testing::Values(PlantedCase{"planted_super_experts", 1, 128},
                                           PlantedCase{"planted_super_experts", 2, 150},
                                           PlantedCase{"planted_super_experts", 3, 512}));
INSTANTIATE_TEST_SUITE_P(SharedExperts, PlantedProfile,
                         ::testing::Values(PlantedCase{"planted_shared_experts", 1, 128},
                                           PlantedCase{"planted_shared_experts", 2, 150}));

Dataset lines(int documents) {
  Dataset data;
  data.name = "lines.jsonl";
  for (int i = 0; i < documents; ++i) {
    data.documents.push_back(
        {"Document number " + std::to_string(i) + " is short.", i % 2 == 0 ? "even" : "odd"});
  }
  return data;
}

TEST(Profile, CutsDocumentsIntoSequencesAndKeepsTheirDomain) {
  const TemporaryFolder folder;
  const auto session = session_of("planted_super_experts", 2, 16);
  ASSERT_NE(session, nullptr);
  ProfileOptions options;
  options.sequence_length = 20;
  std::int64_t seen = 0;
  std::int64_t total = 0;
  const auto result = value_of(
      profile(*session, lines(5), options, folder / "t.db", [&](std::int64_t done, std::int64_t all) {
        EXPECT_GT(done, seen);
        seen = done;
        total = all;
      }));
  EXPECT_EQ(result.sequences, 10) << "27 bytes are a sequence of 20 and one of 7";
  EXPECT_EQ(result.tokens, 5 * 27);
  EXPECT_EQ(seen, total);
  const auto trace = open_trace(folder / "t.db");
  const auto sequences = value_of(trace->sequences(result.run));
  ASSERT_EQ(sequences.size(), 10u);
  int odd = 0;
  for (const SequenceInfo& sequence : sequences) {
    EXPECT_TRUE(sequence.domain == "odd" || sequence.domain == "even");
    odd += sequence.domain == "odd" ? 1 : 0;
  }
  EXPECT_EQ(odd, 4);
  std::map<int, std::string> text;
  for (const TokenRow& token : value_of(trace->tokens(result.run, {})))
    text[token.sequence] += token.bytes;
  EXPECT_TRUE(text[0].starts_with("Document number"));
  EXPECT_EQ(text[0].size(), 20u);
}

TEST(Profile, TakesNoMoreSequencesThanAsked) {
  const TemporaryFolder folder;
  const auto session = session_of("planted_super_experts", 1, 64);
  ASSERT_NE(session, nullptr);
  ProfileOptions options;
  options.sequence_length = 20;
  options.max_sequences = 3;
  options.probes.log_prob = false;
  const auto result = value_of(profile(*session, lines(5), options, folder / "t.db"));
  EXPECT_EQ(result.sequences, 3);
  EXPECT_EQ(result.tokens, 47);
  EXPECT_EQ(result.scored_tokens, 0);
}

TEST(Profile, ACancelledRunIsClosedAsStopped) {
  const TemporaryFolder folder;
  const auto session = session_of("planted_super_experts", 1, 16);
  ASSERT_NE(session, nullptr);
  std::stop_source stop;
  ProfileOptions options;
  options.sequence_length = 64;
  const auto result = profile(
      *session, lines(50), options, folder / "t.db",
      [&](std::int64_t done, std::int64_t) {
        if (done >= 64) stop.request_stop();
      },
      stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  const RunInfo run = value_of(open_trace(folder / "t.db")->run(1));
  EXPECT_EQ(run.status, "stopped");
  EXPECT_GE(run.tokens, 64);
  EXPECT_LT(run.tokens, 50 * 27);
}

TEST(Profile, SaysWhatIsWrongWithItsInput) {
  const TemporaryFolder folder;
  const auto session = session_of("planted_super_experts", 1, 64);
  ASSERT_NE(session, nullptr);
  const auto message = [&](const Dataset& data, int length, const std::filesystem::path& trace) {
    ProfileOptions options;
    options.sequence_length = length;
    const auto result = profile(*session, data, options, trace);
    return result ? std::string() : result.error().message;
  };
  EXPECT_NE(message(Dataset{"empty.txt", "", {}}, 20, folder / "t.db").find("empty.txt: there is no text"),
            std::string::npos);
  EXPECT_NE(message(lines(1), 100000, folder / "t.db").find("100000"), std::string::npos);
  EXPECT_NE(message(lines(1), 0, folder / "t.db").find("0 is not between 1"), std::string::npos);
  EXPECT_NE(message(lines(1), 20, folder / "missing/t.db").find("missing"), std::string::npos);
  Dataset bad = lines(1);
  bad.documents.push_back({"caf\xe9", ""});
  EXPECT_NE(message(bad, 20, folder / "t.db").find("lines.jsonl: document 2"), std::string::npos);
}

TEST(Profile, RecordsThePolicyInForce) {
  const TemporaryFolder folder;
  const auto session = session_of("planted_super_experts", 1, 64);
  ASSERT_NE(session, nullptr);
  const auto policy = value_of(RoutingPolicy::from_json(
      R"({"version":1,"edits":[{"op":"prune","layer":1,"expert":5,"mode":"mask"}]})", "test"));
  session->set_routing(value_of(policy.compile(session->model().config())));
  ProfileOptions options;
  options.sequence_length = 27;
  const auto result = value_of(profile(*session, lines(4), options, folder / "t.db"));
  const auto trace = open_trace(folder / "t.db");
  const auto changes = value_of(trace->policy_changes(result.run));
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].token, 0);
  EXPECT_EQ(value_of(trace->expert_table(result.run)).at(1, 5).count, 0);
}

}  // namespace
}  // namespace expertscope::testing
