// SPDX-License-Identifier: GPL-3.0-or-later
// Greedy continuations and perplexities against transformers, and the distance of bf16 mode from the
// reference.
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "engine/backend/log_prob.h"
#include "engine/run/generate.h"
#include "engine/run/routing_policy.h"
#include "probes/measure/perplexity.h"
#include "tests/parity/golden.h"
#include "tests/parity/record.h"
#include "tests/parity/session.h"

namespace expertscope::parity {
namespace {

std::unique_ptr<Session> make_session(const std::string& model, MathMode math = MathMode::f32) {
  BackendOptions options;
  options.math = math;
  options.threads = 2;
  options.max_context = 320;
  options.max_batch = 128;
  auto session = open_session(open_model(model), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

using Ids = std::vector<std::int32_t>;

class Generation : public testing::TestWithParam<std::string> {};

TEST_P(Generation, GreedyTextIsIdentical) {
  const auto expected = meta(GetParam());
  const auto session = make_session(GetParam());
  GenerateOptions options;
  options.max_tokens = is_emulated() ? 20 : 64;
  const auto result = generate(*session, expected["greedy_prompt"].get<Ids>(), options);
  ASSERT_TRUE(result) << result.error().message;
  Ids ids = expected["greedy_ids"].get<Ids>();
  ids.resize(static_cast<std::size_t>(options.max_tokens));
  EXPECT_EQ(result->ids, ids);
  EXPECT_EQ(result->reason, FinishReason::length);
  if (expected.contains("greedy_text_skip_special") && !is_emulated()) {
    EXPECT_EQ(result->text, expected["greedy_text_skip_special"].get<std::string>());
  }
}

class Perplexity : public testing::TestWithParam<std::string> {};

TEST_P(Perplexity, MatchesBothProtocols) {
  const auto expected = meta(GetParam());
  const auto session = make_session(GetParam());
  const auto tokens = expected["prompts"]["300"].get<Ids>();
  for (const auto& wanted : expected["perplexity_t300"]) {
    SCOPED_TRACE(wanted.dump());
    PerplexityOptions options;
    const bool hf = wanted["protocol"] == "hf";
    options.protocol = hf ? PerplexityProtocol::hf : PerplexityProtocol::llamacpp;
    options.context = std::min(wanted["context"].get<int>(), session->options().max_context);
    if (hf) options.stride = std::min(wanted["stride"].get<int>(), options.context);
    if (!hf) options.bos_token_id = wanted["bos_token_id"].get<int>();
    const auto result = perplexity(*session, tokens, options);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->scored_tokens, wanted["scored_tokens"].get<std::int64_t>());
    EXPECT_EQ(result->windows, wanted["windows"].get<int>());
    EXPECT_NEAR(result->nll_mean, wanted["nll_mean"].get<double>(), 1e-4);
    EXPECT_NEAR(result->perplexity / wanted["perplexity"].get<double>(), 1.0, 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Generation, testing::ValuesIn(all_models()),
                         [](const auto& test) { return test.param; });
INSTANTIATE_TEST_SUITE_P(Models, Perplexity,
                         testing::ValuesIn(is_emulated() ? std::vector<std::string>{"top2_tied"}
                                                         : all_models()),
                         [](const auto& test) { return test.param; });

class EditedGeneration : public testing::TestWithParam<std::string> {};

/// The policy comes into force while tokens appear, and goes again: the KV cache is kept throughout.
TEST_P(EditedGeneration, AnEditTakesEffectAtTheNextTokenAndLeavesWithTheNext) {
  const auto expected = meta(GetParam());
  const auto session = make_session(GetParam());
  for (const auto& wanted : expected["mid_generation"]) {
    const auto policy = RoutingPolicy::from_json(wanted["policy"].dump(), "mid_generation");
    ASSERT_TRUE(policy) << policy.error().message;
    const auto table = policy->compile(session->model().config());
    ASSERT_TRUE(table) << table.error().message;
    Ids ids = wanted["greedy_ids"].get<Ids>();
    if (is_emulated()) {  // the edit comes with token 16 and does not leave before the end
      ids.resize(20);
      session->set_routing(nullptr);
    }
    GenerateOptions options;
    options.max_tokens = static_cast<int>(ids.size());
    const auto result =
        generate(*session, expected["greedy_prompt"].get<Ids>(), options, [&](const GeneratedToken& token) {
          // The step after this token computes token index + 1.
          if (token.index + 1 == wanted["from_token"].get<int>()) session->set_routing(*table);
          if (token.index + 1 == wanted["until_token"].get<int>()) session->set_routing(nullptr);
        });
    session->set_routing(nullptr);  // also when the run was too short to take it back
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->ids, ids);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EditedGeneration, testing::ValuesIn(intervention_models()),
                         [](const auto& test) { return test.param; });

/// Whether a token has the same experts in both records, in every layer.
bool routes_alike(const SequenceRecord& a, const SequenceRecord& b, std::size_t token) {
  for (std::size_t moe = 0; moe < a.expert.size(); ++moe) {
    const auto first = static_cast<std::ptrdiff_t>(token) * a.slots;
    const auto of = [&](const SequenceRecord& record) {
      return std::set<int>(record.expert[moe].begin() + first, record.expert[moe].begin() + first + a.slots);
    };
    if (of(a) != of(b)) return false;
  }
  return true;
}

/// KL(reference || bf16 mode) in nats per token, mean over the tokens of the long sequence: all of them, or
/// those whose routing does not flip.
double mean_divergence(const std::string& model, bool all = true) {
  const auto reference = make_session(model, MathMode::f32);
  const auto rounded = make_session(model, MathMode::bf16);
  auto tokens = meta(model)["prompts"]["300"].get<Ids>();
  if (is_emulated()) tokens.resize(140);
  const SequenceRecord exact = run_in_pieces(*reference, tokens, {128});
  const SequenceRecord coarse = run_in_pieces(*rounded, tokens, {128});
  const std::vector<float>& expected = exact.logits;
  const std::vector<float>& actual = coarse.logits;
  const auto vocab = expected.size() / tokens.size();
  double sum = 0;
  double counted = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (!all && !routes_alike(exact, coarse, t)) continue;
    ++counted;
    const std::span<const float> p(expected.data() + t * vocab, vocab);
    const std::span<const float> q(actual.data() + t * vocab, vocab);
    const double log_sum_p = log_sum_exp(p);
    const double log_sum_q = log_sum_exp(q);
    for (std::size_t i = 0; i < vocab; ++i) {
      sum += std::exp(p[i] - log_sum_p) * ((p[i] - log_sum_p) - (q[i] - log_sum_q));
    }
  }
  EXPECT_GE(counted, 0.9 * static_cast<double>(tokens.size()));
  return sum / counted;
}

TEST(Bf16Mode, StaysWithinAThousandthOfANatOfTheReference) {
  EXPECT_LE(mean_divergence("bf16"), 1e-3);
  EXPECT_EQ(mean_divergence("bf16") > 0, !make_session("bf16", MathMode::bf16)->backend_info().always_f32);
}

TEST(Bf16Mode, DoesSoWithSinksAndClampsAndExpertsInMxfp4) {
  EXPECT_LE(mean_divergence("gpt_oss_bf16", false), 1e-3);
  EXPECT_LE(mean_divergence("gpt_oss_mxfp4", false), 1e-3);
}

TEST(Bf16Mode, DoesSoWithQuantisedWeights) {
  for (const char* model : {"fp8_channel", "int4", "gptq", "awq", "nvfp4"})
    EXPECT_LE(mean_divergence(model, false), 1e-3) << model;
}

TEST(Bf16Mode, ChangesNothingWhereNoWeightIsBf16) {
  // The cache rounds keys and values, so the numbers differ, but no more than that.
  EXPECT_LE(mean_divergence("top8"), 1e-3);
}

}  // namespace
}  // namespace expertscope::parity
