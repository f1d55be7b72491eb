// SPDX-License-Identifier: GPL-3.0-or-later
// KL between two recorded runs: the baseline's tokens run again under both policies.
#include "probes/report/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/run/routing_policy.h"
#include "probes/capture/profile.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Sequences = std::vector<std::vector<std::int32_t>>;

const std::filesystem::path kData = std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / "tests" / "data";
const std::string kPrune =
    R"({"version":1,"edits":[{"op":"prune","layer":[1,2,3],"expert":5,"mode":"mask"}]})";

std::unique_ptr<Session> session_of(const std::string& model) {
  auto opened = value_of(Model::open(kData / "models" / model));
  if (opened == nullptr) return nullptr;
  BackendOptions options;
  options.math = MathMode::f32;
  options.threads = 2;
  options.max_sequences = 2;
  options.max_context = 512;
  options.max_batch = 48;
  return value_of(Session::create(opened, options));
}

/// The two texts of the planted model, recorded side by side without edits and with kPrune.
class ReplayOfAProfile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ifstream in(kData / "golden/planted_super_experts/planted.json");
    const auto golden = nlohmann::json::parse(in, nullptr, false);
    ASSERT_TRUE(golden.is_object());
    sequences_ = golden["sequences"].get<Sequences>();
    for (const auto& text : golden["texts"])
      data_.documents.push_back({text.get<std::string>(), ""});
    session_ = session_of("planted_super_experts");
    ASSERT_NE(session_, nullptr);
    const auto policy = RoutingPolicy::from_json(kPrune, "kPrune");
    ASSERT_OK(policy);
    pruned_ = value_of(policy->compile(session_->model().config()));
    before_ = record("before.db", nullptr);
    after_ = record("after.db", pruned_);
    ASSERT_TRUE(before_ != nullptr && after_ != nullptr);
  }

  std::unique_ptr<TraceReader> record(const std::string& name,
                                      const std::shared_ptr<const RoutingTable>& table) {
    session_->set_routing(table);
    ProfileOptions options;
    options.sequence_length = 320;
    EXPECT_OK(profile(*session_, data_, options, folder_ / name));
    session_->set_routing(nullptr);
    return open_trace(folder_ / name);
  }

  TemporaryFolder folder_;
  Dataset data_{"planted", "0123", {}};
  Sequences sequences_;
  std::unique_ptr<Session> session_;
  std::shared_ptr<const RoutingTable> pruned_;
  std::unique_ptr<TraceReader> before_;
  std::unique_ptr<TraceReader> after_;
};

TEST_F(ReplayOfAProfile, ReadsTheTokensAndBothPolicies) {
  const Replay replay = value_of(read_replay(*before_, 1, *after_, 1));
  EXPECT_EQ(replay.sequences, sequences_);
  EXPECT_EQ(replay.tokens, 640);
  EXPECT_EQ(replay.longest, 320);
  EXPECT_NE(replay.policy_before, replay.policy_after);
  EXPECT_EQ(replay.policy_after, pruned_->policy_json);
}

TEST_F(ReplayOfAProfile, IsTheMeanOverTheTokensOfAllSequences) {
  double sum = 0;
  for (const auto& ids : sequences_) {
    const auto divergence = policy_divergence(*session_, ids, {nullptr, pruned_});
    ASSERT_OK(divergence);
    sum += divergence->kl_sum;
  }
  const Replay replay = value_of(read_replay(*before_, 1, *after_, 1));
  std::vector<std::int64_t> done;
  const auto measured =
      replay_divergence(*session_, replay, [&](std::int64_t tokens) { done.push_back(tokens); });
  ASSERT_OK(measured);
  EXPECT_GT(measured->kl_mean, 1e-6);
  EXPECT_NEAR(measured->kl_mean, sum / 640, 1e-6 * sum / 640);
  EXPECT_EQ(measured->tokens, 640);
  EXPECT_EQ(measured->of_tokens, 640);
  EXPECT_THAT(measured->backend, HasSubstr("f32"));
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), 640) << "progress counts through all sequences";
}

TEST_F(ReplayOfAProfile, OfARunFromItselfIsZero) {
  const Replay replay = value_of(read_replay(*after_, 1, *after_, 1));
  const auto measured = replay_divergence(*session_, replay);
  ASSERT_OK(measured);
  EXPECT_NEAR(measured->kl_mean, 0, 1e-9) << "the baseline runs under its own policy";
}

TEST_F(ReplayOfAProfile, TakesTheFirstTokensOnlyWhenAsked) {
  const Replay replay = value_of(read_replay(*before_, 1, *after_, 1, 101));
  EXPECT_EQ(replay.tokens, 101);
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < replay.sequences.size(); ++i) {
    ASSERT_LE(replay.sequences[i].size(), sequences_[i].size());
    EXPECT_TRUE(std::equal(replay.sequences[i].begin(), replay.sequences[i].end(), sequences_[i].begin()));
    tokens += replay.sequences[i].size();
  }
  EXPECT_EQ(tokens, 101u);
  const auto measured = replay_divergence(*session_, replay);
  ASSERT_OK(measured);
  EXPECT_EQ(measured->tokens, 101);
  EXPECT_EQ(measured->of_tokens, 640);
}

TEST_F(ReplayOfAProfile, RefusesAnotherModel) {
  const auto other = session_of("top8");
  ASSERT_NE(other, nullptr);
  const auto measured = replay_divergence(*other, value_of(read_replay(*before_, 1, *after_, 1)));
  ASSERT_FALSE(measured);
  EXPECT_EQ(measured.error().code, ErrorCode::mismatch);
  EXPECT_THAT(measured.error().message,
              AllOf(HasSubstr("top8: not the model of run 1"), HasSubstr("planted_super_experts")));
}

TEST_F(ReplayOfAProfile, Stops) {
  std::stop_source stop;
  const auto measured = replay_divergence(
      *session_, value_of(read_replay(*before_, 1, *after_, 1)), [&](std::int64_t) { stop.request_stop(); },
      stop.get_token());
  ASSERT_FALSE(measured);
  EXPECT_EQ(measured.error().code, ErrorCode::cancelled);
}

/// A synthetic run of 20 tokens at the positions from `position` on.
std::unique_ptr<TraceReader> synthetic(const std::filesystem::path& file, int position,
                                       const ModelIdentity& model, const std::string& policy) {
  RunInfo info = run_info(Shape());
  info.model = model;
  auto recorder = value_of(Recorder::start(file, info));
  auto block = make_block(Shape(), info.probes, {0, 20, 0, position});
  if (!policy.empty()) block->table = table_of(policy);
  EXPECT_OK(recorder->deliver(std::move(block)));
  EXPECT_OK(recorder->finish("finished"));
  return open_trace(file);
}

TEST(Replay, RefusesARunThatLacksTokens) {
  const TemporaryFolder folder;
  const auto trace = synthetic(folder / "t.db", 5, {}, "");
  const auto replay = read_replay(*trace, 1, *trace, 1);
  ASSERT_FALSE(replay);
  EXPECT_THAT(replay.error().message, HasSubstr("t.db: run 1 lacks tokens of sequence 0 before position 5"));
  const auto missing = read_replay(*trace, 7, *trace, 1);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("no run 7"));
}

TEST(Replay, RefusesARunWithoutTokens) {
  const TemporaryFolder folder;
  ASSERT_OK(value_of(Recorder::start(folder / "t.db", run_info(Shape())))->finish("stopped"));
  const auto trace = open_trace(folder / "t.db");
  const auto replay = read_replay(*trace, 1, *trace, 1);
  ASSERT_FALSE(replay);
  EXPECT_THAT(replay.error().message, HasSubstr("no token to run again"));
}

TEST(Replay, NamesTheRunWhosePolicyDoesNotFitTheModel) {
  const TemporaryFolder folder;
  const auto session = session_of("top8");
  ASSERT_NE(session, nullptr);
  const auto trace = synthetic(folder / "t.db", 0, session->model().identity(),
                               R"({"version":1,"edits":[{"op":"prune","layer":99,"expert":1}]})");
  const auto measured = replay_divergence(*session, value_of(read_replay(*trace, 1, *trace, 1)));
  ASSERT_FALSE(measured);
  EXPECT_THAT(measured.error().message, AllOf(HasSubstr("the policy of run 1"), HasSubstr("layer 99")));
}

}  // namespace
}  // namespace expertscope::testing
