// SPDX-License-Identifier: GPL-3.0-or-later
// Routing policies against transformers with its router replaced (tests/data/reference/interventions.py).
#include <gmock/gmock.h>

#include <algorithm>

#include "engine/run/routing_policy.h"
#include "tests/parity/golden.h"
#include "tests/parity/record.h"
#include "tests/parity/session.h"

namespace expertscope::parity {
namespace {

constexpr double kTolerance = 1e-4;
constexpr double kWeightTolerance = 1e-5;

struct Case {
  std::string model;
  std::string name;
};
void PrintTo(const Case& value, std::ostream* out) {
  *out << value.model << " " << value.name;
}

std::filesystem::path folder_of(const std::string& model) {
  return data_folder() / "golden" / model / "interventions";
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const std::string& model : intervention_models()) {
    for (const auto& entry : std::filesystem::directory_iterator(folder_of(model))) {
      if (entry.path().extension() == ".json") cases.push_back({model, entry.path().stem().string()});
    }
  }
  std::sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) {
    return std::tie(a.model, a.name) < std::tie(b.model, b.name);
  });
  return cases;
}

/// Combine weights by expert: the same however the slots are ordered.
std::vector<float> combine_matrix(const SequenceRecord& record, std::size_t moe, int tokens, int experts) {
  std::vector<float> matrix(static_cast<std::size_t>(tokens * experts));
  for (int t = 0; t < tokens; ++t) {
    for (int s = 0; s < record.slots; ++s) {
      const auto slot = static_cast<std::size_t>(t * record.slots + s);
      const int expert = record.expert[moe][slot];
      if (expert >= 0) matrix[static_cast<std::size_t>(t * experts + expert)] += record.weight[moe][slot];
    }
  }
  return matrix;
}

/// The first `slots` of every token: a layer's own top_k may be below the widest of the table.
template <class T>
std::vector<T> narrow(const std::vector<T>& values, int width, int slots) {
  std::vector<T> result;
  for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(width)) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
    result.insert(result.end(), begin, begin + slots);
  }
  return result;
}

class Intervention : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    BackendOptions options;
    options.math = MathMode::f32;
    options.threads = 2;
    options.max_context = 16;
    options.max_batch = 7;
    auto session = open_session(open_model(GetParam().model), options);
    ASSERT_TRUE(session) << session.error().message;
    session_ = std::move(*session);
    const auto policy = RoutingPolicy::load(folder_of(GetParam().model) / (GetParam().name + ".json"));
    ASSERT_TRUE(policy) << policy.error().message;
    const auto table = policy->compile(session_->model().config());
    ASSERT_TRUE(table) << table.error().message;
    session_->set_routing(*table);
  }

  void expect_routing(const SequenceRecord& record, const GoldenFile& file) const {
    const ModelConfig& config = session_->model().config();
    std::size_t moe = 0;
    for (int n = 0; n < config.num_layers(); ++n) {
      if (!config.is_moe(n)) continue;
      const std::string layer = "layer." + std::to_string(n) + ".";
      const int slots = file.columns(layer + "slot_experts");
      expect_close(record.router_logits[moe], file.floats(layer + "router_logits"), kTolerance,
                   layer + "router_logits");
      EXPECT_EQ(narrow(record.expert[moe], record.slots, slots), file.ints(layer + "slot_experts")) << layer;
      EXPECT_THAT(
          narrow(record.weight[moe], record.slots, slots),
          testing::Pointwise(testing::FloatNear(kWeightTolerance), file.floats(layer + "slot_weights")));
      EXPECT_THAT(
          narrow(record.probability[moe], record.slots, slots),
          testing::Pointwise(testing::FloatNear(kWeightTolerance), file.floats(layer + "topk_probs")));
      EXPECT_THAT(combine_matrix(record, moe, 7, config.num_experts()),
                  testing::Pointwise(testing::FloatNear(kWeightTolerance), file.floats(layer + "combine")));
      ++moe;
    }
  }

  GoldenFile file() const {
    return GoldenFile(folder_of(GetParam().model) / (GetParam().name + ".safetensors"));
  }

  std::unique_ptr<Session> session_;
};

TEST_P(Intervention, MatchesTheReference) {
  const GoldenFile expected = file();
  const auto record = run_in_pieces(*session_, expected.ints("ids"), {7});
  expect_routing(record, expected);
  expect_close(record.logits, expected.floats("logits"), kTolerance, "logits");
}

TEST_P(Intervention, MatchesTokenByToken) {
  const GoldenFile expected = file();
  const std::vector<int> sizes = is_emulated() ? std::vector{5, 1} : std::vector{1};
  const auto record = run_in_pieces(*session_, expected.ints("ids"), sizes);
  expect_close(record.logits, expected.floats("logits"), kTolerance, "logits");
}

class TakenBack : public Intervention {};

TEST_P(TakenBack, LeavesNoTrace) {
  const GoldenFile expected = file();
  const auto edited = run_in_pieces(*session_, expected.ints("ids"), {7});
  session_->set_routing(nullptr);
  const auto plain = run_in_pieces(*session_, expected.ints("ids"), {7});
  const GoldenFile reference = golden(GetParam().model, 7);
  expect_close(plain.logits, reference.floats("logits"), kTolerance, "logits");
  EXPECT_NE(plain.logits, edited.logits);
}

INSTANTIATE_TEST_SUITE_P(Policies, Intervention, testing::ValuesIn(all_cases()),
                         [](const auto& test) { return test.param.model + "_" + test.param.name; });

/// All of them; emulated, every eighth.
std::vector<Case> some_cases() {
  const std::vector<Case> all = all_cases();
  std::vector<Case> some;
  for (std::size_t i = 0; i < all.size(); i += is_emulated() ? 8 : 1)
    some.push_back(all[i]);
  return some;
}
INSTANTIATE_TEST_SUITE_P(Policies, TakenBack, testing::ValuesIn(some_cases()),
                         [](const auto& test) { return test.param.model + "_" + test.param.name; });

}  // namespace
}  // namespace expertscope::parity
