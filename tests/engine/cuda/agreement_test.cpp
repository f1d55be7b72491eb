// SPDX-License-Identifier: GPL-3.0-or-later
// The backend on the emulated GPU against the CPU backend: models whose sizes are multiples of nothing, all
// types of weights, every kind of step.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "engine/backend/candidates.h"
#include "tests/engine/cuda/backend_fixture.h"

namespace expertscope::cuda {
namespace {

struct Case {
  std::string name;
  std::function<void(ModelShape&)> change;
  Types types = {FormatId::f32};
};
void PrintTo(const Case& value, std::ostream* out) {
  *out << value.name;
}

/// Every row is a whole number of blocks.
void in_blocks(ModelShape& c) {
  c.hidden_size = 64;
  c.num_attention_heads = c.num_key_value_heads = 2;
  c.head_dim = 16;
  c.intermediate_size = 64;
  c.moe_intermediate_size = 32;
}

const Types kMixed = {FormatId::bf16, FormatId::f32, FormatId::f16, FormatId::bf16, FormatId::f32};

std::vector<Case> attention_cases() {
  return {
      {"biases_and_tied_embeddings",
       [](ModelShape& c) {
         c.attention_bias = c.tie_word_embeddings = true;
         c.qk_norm = AttentionSpec::QkNorm::none;
       },
       {FormatId::bf16}},
      {"norm_over_all_heads_behind_a_bias",
       [](ModelShape& c) {
         c.attention_bias = true;
         c.qk_norm = AttentionSpec::QkNorm::whole;
       },
       {FormatId::f32}},
      {"norm_over_all_heads_in_bf16",
       [](ModelShape& c) { c.qk_norm = AttentionSpec::QkNorm::whole; },
       {FormatId::bf16}},
      {"a_part_of_the_head_turns", [](ModelShape& c) { c.partial_rotary_factor = 0.5; }, {FormatId::f32}},
      {"two_channels_of_the_head_turn",
       [](ModelShape& c) {
         c.head_dim = 10;
         c.partial_rotary_factor = 0.2;
       },
       {FormatId::bf16}},
  };
}

std::vector<Case> shared_expert_cases() {
  return {
      {"a_shared_expert", [](ModelShape& c) { c.shared_expert_intermediate_size = 28; }, {FormatId::f32}},
      {"a_shared_expert_behind_a_gate",
       [](ModelShape& c) {
         c.hidden_size = 43;
         c.shared_expert_intermediate_size = 36;
         c.shared_expert_gate = true;
         c.moe_layer = {0, 1};
       },
       {FormatId::bf16}},
      {"a_shared_expert_in_f16",
       [](ModelShape& c) {
         c.shared_expert_intermediate_size = 20;
         c.shared_expert_gate = true;
       },
       {FormatId::f16}},
      {"a_shared_expert_of_other_types",
       [](ModelShape& c) {
         c.shared_expert_intermediate_size = 28;
         c.shared_expert_gate = true;
       },
       kMixed},
  };
}

std::vector<Case> cases() {
  return {
      {"odd_sizes", [](ModelShape&) {}, {FormatId::f32}},
      {"odd_sizes_in_bf16", [](ModelShape&) {}, {FormatId::bf16}},
      {"odd_sizes_in_f16", [](ModelShape&) {}, {FormatId::f16}},
      {"types_mixed_within_a_layer", [](ModelShape&) {}, kMixed},
      {"blocks_of_q8_0", in_blocks, {FormatId::q8_0}},
      {"blocks_beside_other_types", in_blocks, {FormatId::q8_0, FormatId::bf16, FormatId::f32}},
      {"all_experts_selected", [](ModelShape& c) { c.num_experts_per_tok = 5; }, {FormatId::bf16}},
      {"one_expert", [](ModelShape& c) { c.num_experts = c.num_experts_per_tok = 1; }, {FormatId::bf16}},
      {"a_dense_layer_first",
       [](ModelShape& c) {
         c.hidden_size = 40;
         c.moe_layer = {0, 1};
       },
       {FormatId::bf16}},
      {"no_experts_at_all",
       [](ModelShape& c) {
         c.moe_layer = {0, 0};
         c.num_experts = c.num_experts_per_tok = c.moe_intermediate_size = 0;
       },
       {FormatId::f32}},
      {"one_key_value_head",
       [](ModelShape& c) {
         c.num_attention_heads = 4;
         c.num_key_value_heads = 1;
         c.head_dim = 2;
       },
       {FormatId::f32}},
      {"wide_heads",
       [](ModelShape& c) {
         c.num_attention_heads = 4;
         c.num_key_value_heads = 2;
         c.head_dim = 136;
         c.num_hidden_layers = 1;
         c.moe_layer = {1};
       },
       {FormatId::bf16}},
      {"more_slots_than_decoding_has",
       [](ModelShape& c) {
         c.num_experts = 40;
         c.num_experts_per_tok = 36;
         c.num_hidden_layers = 1;
         c.moe_layer = {1};
       },
       {FormatId::f32}},
  };
}

/// Routers that are no plain softmax.
std::vector<Case> routers() {
  const auto of = [](RouterSpec::Score score, bool bias, int groups, RouterSpec::GroupRank rank) {
    return [=](ModelShape& c) {
      c.num_experts = 12;
      c.num_experts_per_tok = 4;
      c.router.score = score;
      c.router.correction_bias = bias;
      c.router.groups = groups;
      c.router.top_groups = (groups + 1) / 2;
      c.router.group_rank = rank;
      c.router.renormalise_epsilon = 1e-20f;
      c.router.scale = 2.5f;
    };
  };
  using Score = RouterSpec::Score;
  using Rank = RouterSpec::GroupRank;
  return {{"sigmoid_with_a_correction_bias", of(Score::sigmoid, true, 1, Rank::sum_of_two)},
          {"sigmoid_in_groups", of(Score::sigmoid, true, 4, Rank::sum_of_two)},
          {"softmax_in_groups", of(Score::softmax, false, 4, Rank::maximum)},
          {"softmax_of_the_chosen", of(Score::softmax_of_chosen, false, 1, Rank::maximum)}};
}

class Agreement : public ::testing::TestWithParam<std::tuple<Case, MathMode>> {
 protected:
  const Case& shape() const { return std::get<0>(GetParam()); }
  MathMode math() const { return std::get<1>(GetParam()); }
  std::shared_ptr<const Model> model() const {
    ModelShape config = odd_config();
    shape().change(config);
    return make_model(config, shape().types);
  }
};

/// With an observer a decode step runs kernel by kernel.
class Ignore final : public TensorObserver {
  void observe(const char*, int, std::span<const float>, int) override {}
};

TEST_P(Agreement, OfEveryIntermediateAndEveryProbe) {
  const auto both = model();
  const auto cuda = must(open_cuda(both, small_options(math())));
  const auto cpu = must(open_cpu(both, small_options(math())));
  ASSERT_TRUE(cuda && cpu);
  expect_agreement(record(*cuda, all_kinds_of_steps()), record(*cpu, all_kinds_of_steps()), math());
}

TEST_P(Agreement, OfStepsFromGraphsWithWatchedSteps) {
  const std::vector<Counts> steps = {
      {{0, 5}, {1, 1}, {2, 3}}, {{0, 1}}, {{1, 1}, {2, 1}}, {{0, 1}, {1, 1}, {2, 1}}};
  const auto session = must(open_cuda(model(), small_options(math())));
  ASSERT_TRUE(session);
  const Watched watched = watch(*session, steps, parity::all_probes());
  for (const int sequence : {0, 1, 2})
    ASSERT_TRUE(session->truncate(sequence, 0));
  Ignore nothing;
  session->backend().set_observer(&nothing);
  expect_identical(watch(*session, steps, parity::all_probes()), watched);
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<Case, MathMode>>& test) {
  return std::get<0>(test.param).name + (std::get<1>(test.param) == MathMode::f32 ? "_f32" : "_bf16");
}

INSTANTIATE_TEST_SUITE_P(Shapes, Agreement,
                         ::testing::Combine(::testing::ValuesIn(cases()),
                                            ::testing::Values(MathMode::f32, MathMode::bf16)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Attention, Agreement,
                         ::testing::Combine(::testing::ValuesIn(attention_cases()),
                                            ::testing::Values(MathMode::f32, MathMode::bf16)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(SharedExpert, Agreement,
                         ::testing::Combine(::testing::ValuesIn(shared_expert_cases()),
                                            ::testing::Values(MathMode::f32, MathMode::bf16)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Routers, Agreement,
                         ::testing::Combine(::testing::ValuesIn(routers()), ::testing::Values(MathMode::f32)),
                         name_of);

/// Four rows of 3072 floats are exactly the shared memory that a block has without asking, four of 16384 more
/// than there is, and so are four of 48 heads of 136.
class WideModels : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(WideModels, DecodeFourTokensAtOnce) {
  ModelShape config = odd_config();
  config.hidden_size = GetParam().first;
  config.num_attention_heads = GetParam().second;
  config.num_key_value_heads = 1;
  config.head_dim = GetParam().second > 1 ? 136 : 8;
  config.moe_intermediate_size = 4;
  config.num_hidden_layers = 1;
  config.moe_layer = {1};
  const auto model = make_model(config);
  const auto cuda = must(open_cuda(model, small_options(MathMode::f32)));
  const auto cpu = must(open_cpu(model, small_options(MathMode::f32)));
  ASSERT_TRUE(cuda && cpu);
  const std::vector<Counts> steps = {one_each(4), one_each(1)};
  expect_agreement(record(*cuda, steps), record(*cpu, steps), MathMode::f32);
}

INSTANTIATE_TEST_SUITE_P(Widths, WideModels,
                         ::testing::Values(std::pair(3072, 1), std::pair(16384, 1), std::pair(16, 48)));

/// Activations of super experts grow far beyond the largest f16 number; F16 weights must bear them. Not in
/// front of a router, whose probabilities would all be 0 and 1.
TEST(Outliers, DoNotOverflowWithF16Weights) {
  ModelShape config = odd_config();
  config.moe_layer = {1, 0};
  const auto model = make_model(config, {FormatId::f16}, [](Weights& weights) {
    weights.layers[1].post_attention_layernorm[5] = 1e6f;
  });
  const auto cuda = must(open_cuda(model, small_options(MathMode::bf16)));
  const auto cpu = must(open_cpu(model, small_options(MathMode::bf16)));
  ASSERT_TRUE(cuda && cpu);
  const auto actual = record(*cuda, all_kinds_of_steps());
  EXPECT_GT(std::ranges::max(actual.at(0).hidden_max.back()), 1e5f) << "the test is about large numbers";
  expect_agreement(actual, record(*cpu, all_kinds_of_steps()), MathMode::bf16);
}

/// Batches of many sequences: as many as a recorded step takes, fewer, more.
class ManySequences : public ::testing::TestWithParam<MathMode> {
 protected:
  std::unique_ptr<Session> cuda(const std::shared_ptr<const Model>& model) {
    return must(open_cuda(model, many_sequences(GetParam())));
  }

  const std::vector<Counts> steps_ = {{{0, 3}, {7, 5}}, one_each(5),  one_each(33),
                                      one_each(64),     one_each(12), {{3, 1}, {4, 2}, {5, 1}},
                                      one_each(70)};
};

TEST_P(ManySequences, AgreeWithTheCpu) {
  const auto model = make_model(odd_config(), kMixed);
  const auto session = cuda(model);
  const auto cpu = must(open_cpu(model, many_sequences(GetParam())));
  ASSERT_TRUE(session && cpu);
  expect_agreement(record(*session, steps_), record(*cpu, steps_), GetParam());
}

TEST_P(ManySequences, GiveTheSameFromAGraph) {
  ModelShape config = odd_config();
  config.moe_layer = {0, 1};
  const auto session = cuda(make_model(config, {FormatId::bf16}));
  ASSERT_TRUE(session);
  const Watched expected = watch(*session, steps_, parity::all_probes());
  for (int sequence = 0; sequence < 70; ++sequence)
    ASSERT_TRUE(session->truncate(sequence, 0));
  Ignore nothing;
  session->backend().set_observer(&nothing);
  expect_identical(watch(*session, steps_, parity::all_probes()), expected);
}

INSTANTIATE_TEST_SUITE_P(Modes, ManySequences, ::testing::Values(MathMode::f32, MathMode::bf16),
                         [](const auto& test) { return test.param == MathMode::f32 ? "f32" : "bf16"; });

/// Every edit there is, alone and together.
const std::vector<std::string>& policies() {
  static const std::vector<std::string> all = {
      R"({"op":"prune","layer":0,"expert":1,"mode":"mask"})",
      R"({"op":"prune","layer":"*","expert":2,"mode":"zero"})",
      R"({"op":"prune","layer":1,"expert":3,"mode":"drop"})",
      R"({"op":"reroute","layer":"*","from":0,"to":4})",
      R"({"op":"bias","layer":0,"expert":0,"logit":2.5})",
      R"({"op":"force","layer":"*","expert":3})",
      R"({"op":"top_k","layer":0,"k":4})",
      R"({"op":"top_k","layer":"*","k":5},{"op":"top_p","layer":"*","p":0.6})",
      R"({"op":"reroute","layer":"*","from":0,"to":4},{"op":"reroute","layer":"*","from":1,"to":4},)"
      R"({"op":"prune","layer":0,"expert":2,"mode":"drop"},{"op":"force","layer":1,"expert":0},)"
      R"({"op":"top_k","layer":1,"k":3})",
  };
  return all;
}

class EditedAgreement : public ::testing::TestWithParam<std::string> {};

TEST_P(EditedAgreement, OfEveryIntermediateAndEveryProbe) {
  const auto model = make_model(odd_config());
  const auto table = table_of(R"({"version":1,"edits":[)" + GetParam() + "]}", model->config());
  const auto cuda = must(open_cuda(model, small_options(MathMode::f32)));
  const auto cpu = must(open_cpu(model, small_options(MathMode::f32)));
  ASSERT_TRUE(table && cuda && cpu);
  cuda->set_routing(table);
  cpu->set_routing(table);
  const std::vector<Counts> steps = {{{0, 19}}, {{0, 1}}, {{0, 2}, {1, 1}}, {{0, 1}, {1, 1}}};
  expect_agreement(record(*cuda, steps), record(*cpu, steps), MathMode::f32);
}

INSTANTIATE_TEST_SUITE_P(Policies, EditedAgreement, ::testing::ValuesIn(policies()),
                         [](const auto& test) { return "policy_" + std::to_string(test.index); });

/// A model that decodes from graphs may be told to take more slots than a graph has room for.
TEST(EditedAgreement, HoldsWhenAnEditAsksForMoreSlotsThanAGraphHas) {
  ModelShape config = odd_config();
  config.num_experts = 40;
  const auto model = make_model(config);
  const auto cuda = must(open_cuda(model, small_options(MathMode::f32)));
  const auto cpu = must(open_cpu(model, small_options(MathMode::f32)));
  const auto wide = table_of(R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":40}]})", config);
  const std::vector<Counts> steps = {{{0, 5}, {1, 3}}, {{0, 1}}, {{0, 1}, {1, 1}}};
  for (const auto& table :
       {std::shared_ptr<const RoutingTable>(), wide, std::shared_ptr<const RoutingTable>()}) {
    cuda->set_routing(table);
    cpu->set_routing(table);
    expect_agreement(record(*cuda, steps), record(*cpu, steps), MathMode::f32);
    for (const int sequence : {0, 1}) {
      ASSERT_TRUE(cuda->truncate(sequence, 0));
      ASSERT_TRUE(cpu->truncate(sequence, 0));
    }
  }
}

/// Both sessions run the same batch, prompts and single tokens.
class Wanted : public ::testing::Test {
 protected:
  void step(const Counts& counts, LogitsWanted wanted, const std::function<void(Batch&)>& change = {}) {
    for (Session* session : {cuda_.get(), cpu_.get()}) {
      Batch batch = next_batch(*session, counts, wanted);
      if (change) change(batch);
      const auto output = session->run(std::move(batch));
      ASSERT_TRUE(output) << output.error().message;
      (session == cuda_.get() ? from_cuda_ : from_cpu_) = **output;
    }
  }
  void expect_floats(const std::vector<float>& actual, const std::vector<float>& expected) const {
    EXPECT_THAT(actual, ::testing::Pointwise(::testing::NanSensitiveFloatNear(1e-4f), expected));
  }

  std::shared_ptr<const Model> model_ = make_model(odd_config());
  std::unique_ptr<Session> cuda_ = must(open_cuda(model_, small_options(MathMode::f32)));
  std::unique_ptr<Session> cpu_ = must(open_cpu(model_, small_options(MathMode::f32)));
  StepOutput from_cuda_, from_cpu_;
};

const std::vector<Counts> kPromptThenTokens = {
    {{0, 9}, {1, 4}, {2, 1}}, {{0, 1}}, {{0, 1}, {1, 1}, {2, 1}}, one_each(6)};

TEST_F(Wanted, NoLogitsStillFillTheCache) {
  for (const Counts& counts : kPromptThenTokens)
    step(counts, LogitsWanted::none);
  EXPECT_TRUE(from_cuda_.logits.empty());
  step({{0, 1}, {1, 1}}, LogitsWanted::all);
  expect_floats(from_cuda_.logits, from_cpu_.logits);
}

TEST_F(Wanted, LogitsOfTheLastTokenOfEachChunk) {
  for (const Counts& counts : kPromptThenTokens) {
    step(counts, LogitsWanted::last_of_each_chunk);
    EXPECT_EQ(from_cuda_.logits.size(), counts.size() * 53);
    expect_floats(from_cuda_.logits, from_cpu_.logits);
  }
}

TEST_F(Wanted, LogProbabilitiesOfSomeTargets) {
  for (const Counts& counts : kPromptThenTokens) {
    step(counts, LogitsWanted::log_probs, [](Batch& batch) {
      for (std::size_t i = 0; i < batch.tokens.size(); ++i)
        batch.targets.push_back(i % 3 == 1 ? -1 : static_cast<std::int32_t>(i * 5 % 53));
    });
    expect_floats(from_cuda_.log_probs, from_cpu_.log_probs);
  }
}

TEST_F(Wanted, LogProbabilitiesWhileSomebodyWatches) {
  Ignore nothing;
  cuda_->backend().set_observer(&nothing);
  for (const Counts& counts : kPromptThenTokens) {
    step(counts, LogitsWanted::log_probs, [](Batch& batch) { batch.targets.assign(batch.tokens.size(), 7); });
    expect_floats(from_cuda_.log_probs, from_cpu_.log_probs);
  }
}

TEST_F(Wanted, LogProbabilitiesOfNoTarget) {
  for (const Counts& counts : kPromptThenTokens) {
    step(counts, LogitsWanted::log_probs,
         [](Batch& batch) { batch.targets.assign(batch.tokens.size(), -1); });
    expect_floats(from_cuda_.log_probs, from_cpu_.log_probs);
  }
}

TEST_F(Wanted, CandidatesFewAndMoreThanTheDeviceLooksFor) {
  for (const int count : {1, 7, 53, 64, 65, 1000}) {
    SCOPED_TRACE(count);
    for (const int sequence : {0, 1, 2}) {
      ASSERT_TRUE(cuda_->truncate(sequence, 0));
      ASSERT_TRUE(cpu_->truncate(sequence, 0));
    }
    for (const Counts& counts : kPromptThenTokens) {
      step(counts, LogitsWanted::candidates, [&](Batch& batch) { batch.candidates = count; });
      ASSERT_EQ(from_cuda_.candidates.size(), counts.size());
      for (std::size_t i = 0; i < counts.size(); ++i) {
        const TokenCandidates& actual = from_cuda_.candidates[i];
        const TokenCandidates& expected = from_cpu_.candidates[i];
        ASSERT_EQ(actual.best.size(), expected.best.size());
        for (std::size_t c = 0; c < expected.best.size(); ++c)
          EXPECT_EQ(actual.best[c].id, expected.best[c].id);
        EXPECT_NEAR(actual.log_sum_exp, expected.log_sum_exp, 1e-5);
      }
    }
  }
}

/// A row's arithmetic in the parity mode does not know what else is in the batch, as long as the batch takes
/// the same path: the number of tokens decides how finely decoding splits the context.
TEST(Companions, DoNotChangeARowInF32) {
  const auto session = must(open_cuda(make_model(odd_config()), small_options(MathMode::f32)));
  const auto first_row = [](const std::vector<float>& logits, std::size_t rows) {
    return std::vector<float>(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(rows * 53));
  };
  const auto run = [&](const std::vector<Counts>& steps) {
    for (int sequence = 0; sequence < 6; ++sequence)
      EXPECT_TRUE(session->truncate(sequence, 0));
    return watch(*session, steps, {}).logits;
  };
  const auto alone = run({{{0, 19}}, {{0, 3}}});
  const auto together = run({{{0, 19}, {1, 7}, {2, 20}}, {{0, 3}, {1, 1}, {2, 9}}});
  EXPECT_EQ(first_row(together[0], 19), alone[0]);
  EXPECT_EQ(first_row(together[1], 3), alone[1]);
  const auto three = run({{{0, 19}}, {{0, 1}, {1, 1}, {2, 1}}});
  const auto four = run({{{0, 19}}, {{0, 1}, {1, 1}, {2, 1}, {3, 1}}});
  EXPECT_EQ(first_row(four[1], 3), three[1]);
}

}  // namespace
}  // namespace expertscope::cuda
