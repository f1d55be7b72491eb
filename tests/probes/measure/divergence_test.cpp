// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/measure/divergence.h"

#include <gmock/gmock.h>

#include <cmath>

#include "engine/backend/log_prob.h"
#include "engine/run/routing_policy.h"
#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

const Ids kTokens = {5, 17, 90, 3, 44, 44, 61, 8, 29, 70, 12};

std::unique_ptr<Session> make_session(int sequences = 2, int batch = 4) {
  BackendOptions options;
  options.math = MathMode::f32;
  options.threads = 1;
  options.max_sequences = sequences;
  options.max_context = 16;
  options.max_batch = batch;
  auto session = Session::create(testing::random_model(testing::tiny_config(), FormatId::f32, 5), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

std::shared_ptr<const RoutingTable> pruned() {
  RoutingPolicy policy;
  policy.edits = {{PruneEdit{1, PruneMode::mask}, {}, true, {}},
                  {PruneEdit{2, PruneMode::mask}, {}, true, {}}};
  auto table = policy.compile(testing::tiny_config());
  EXPECT_TRUE(table) << (table ? "" : table.error().message);
  return table ? *table : nullptr;
}

/// ln p of every token of the vocabulary after each of kTokens, one token a step.
std::vector<std::vector<double>> distributions(const std::shared_ptr<const RoutingTable>& table) {
  const auto session = make_session(1);
  session->set_routing(table);
  std::vector<std::vector<double>> rows;
  for (const std::int32_t id : kTokens) {
    const auto logits = session->step({{id}, {{0, 0, 1}}});
    EXPECT_TRUE(logits);
    std::vector<double> row;
    for (std::size_t token = 0; token < logits->size(); ++token)
      row.push_back(log_probability(*logits, static_cast<std::int32_t>(token)));
    rows.push_back(std::move(row));
  }
  return rows;
}

TEST(KlDivergence, AgreesWithHandComputedDistributions) {
  // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): 1/2 ln 2 - 1/4 ln 2. Logits may carry any constant.
  const auto log = [](double p, double shift) { return static_cast<float>(std::log(p) + shift); };
  const std::vector<float> p = {log(0.5, 3), log(0.25, 3), log(0.25, 3)};
  const std::vector<float> q = {log(0.25, -40), log(0.25, -40), log(0.5, -40)};
  EXPECT_NEAR(kl_divergence(p, q), 0.25 * std::log(2.0), 1e-5);
  EXPECT_NEAR(kl_divergence(p, p), 0, 1e-12);
  // It has a direction.
  const std::vector<float> sharp = {log(0.98, 0), log(0.01, 0), log(0.01, 0)};
  EXPECT_GT(kl_divergence(p, sharp), 1.2 * kl_divergence(sharp, p));
}

TEST(PolicyDivergence, IsTheMeanOverTheDistributionsAfterEveryToken) {
  const auto before = distributions(nullptr);
  const auto after = distributions(pruned());
  double sum = 0;
  for (std::size_t row = 0; row < kTokens.size(); ++row) {
    for (std::size_t i = 0; i < before[row].size(); ++i)
      sum += std::exp(before[row][i]) * (before[row][i] - after[row][i]);
  }
  const auto session = make_session();
  const auto divergence = policy_divergence(*session, kTokens, {nullptr, pruned()});
  ASSERT_TRUE(divergence) << divergence.error().message;
  EXPECT_EQ(divergence->tokens, 11);
  EXPECT_GT(divergence->kl_mean(), 1e-6) << "the edits change something";
  EXPECT_NEAR(divergence->kl_sum, sum, 1e-4 * sum + 1e-6);
  EXPECT_DOUBLE_EQ(divergence->kl_mean(), divergence->kl_sum / 11);
}

TEST(PolicyDivergence, OfARoutingFromItselfIsZero) {
  const auto session = make_session();
  for (const RoutingPair& pair : {RoutingPair{nullptr, nullptr}, RoutingPair{pruned(), pruned()}}) {
    const auto divergence = policy_divergence(*session, kTokens, pair);
    ASSERT_TRUE(divergence) << divergence.error().message;
    EXPECT_NEAR(divergence->kl_mean(), 0, 1e-9);
  }
}

TEST(PolicyDivergence, DoesNotDependOnTheSizeOfAStep) {
  const auto small = policy_divergence(*make_session(2, 1), kTokens, {nullptr, pruned()});
  const auto large = policy_divergence(*make_session(2, 16), kTokens, {nullptr, pruned()});
  ASSERT_TRUE(small && large);
  EXPECT_NEAR(small->kl_sum, large->kl_sum, 1e-4 * small->kl_sum + 1e-6);
}

TEST(PolicyDivergence, BeginsAfreshAndPutsTheRoutingBack) {
  const auto session = make_session();
  const auto table = pruned();
  session->set_routing(table);
  const auto once = policy_divergence(*session, kTokens, {nullptr, table});
  const auto twice = policy_divergence(*session, kTokens, {nullptr, table});
  ASSERT_TRUE(once && twice);
  EXPECT_EQ(once->kl_sum, twice->kl_sum) << "nothing is left in the cache";
  EXPECT_EQ(session->routing(), table);
}

TEST(PolicyDivergence, ReportsProgressAndStops) {
  const auto session = make_session();
  std::vector<std::int64_t> done;
  std::stop_source stop;
  const auto result = policy_divergence(
      *session, kTokens, {nullptr, pruned()},
      [&](std::int64_t tokens) {
        done.push_back(tokens);
        if (tokens == 8) stop.request_stop();
      },
      stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_EQ(done, (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ(session->routing()->policy_json, make_session()->routing()->policy_json);
}

TEST(PolicyDivergence, SaysWhatItNeeds) {
  const auto one = policy_divergence(*make_session(1), kTokens, {});
  ASSERT_FALSE(one);
  EXPECT_THAT(one.error().message, HasSubstr("two sequences"));
  const auto long_text = policy_divergence(*make_session(), Ids(17, 1), {});
  ASSERT_FALSE(long_text);
  EXPECT_THAT(long_text.error().message, HasSubstr("context of 16"));
  const auto none = policy_divergence(*make_session(), {}, {});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->tokens, 0);
  EXPECT_EQ(none->kl_mean(), 0);
}

}  // namespace
}  // namespace expertscope
