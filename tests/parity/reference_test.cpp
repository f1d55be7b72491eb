// SPDX-License-Identifier: GPL-3.0-or-later
// f32 mode against Hugging Face transformers: every hidden state, logit, router decision and probe, whole,
// in chunks and in a batch with other sequences.
#include <gmock/gmock.h>

#include <numeric>

#include "tests/parity/golden.h"
#include "tests/parity/record.h"

namespace expertscope::parity {
namespace {

constexpr double kTolerance = 1e-4;        // of the largest magnitude
constexpr double kWeightTolerance = 1e-5;  // absolute

std::unique_ptr<Session> make_session(const std::string& model, MathMode math = MathMode::f32) {
  BackendOptions options;
  options.math = math;
  options.threads = 2;
  options.max_sequences = 3;
  options.max_context = 320;
  options.max_batch = 320;
  auto session = Session::create(open_model(model), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

std::vector<float> rows_at(const std::vector<float>& values, const std::vector<std::int32_t>& positions,
                           int columns) {
  std::vector<float> rows;
  for (const std::int32_t position : positions) {
    const auto first = values.begin() + std::ptrdiff_t{position} * columns;
    rows.insert(rows.end(), first, first + columns);
  }
  return rows;
}

void expect_weights(const std::vector<float>& actual, const std::vector<float>& expected,
                    const std::string& what) {
  EXPECT_THAT(actual, testing::Pointwise(testing::FloatNear(kWeightTolerance), expected)) << what;
}

void expect_moe_layer(const SequenceRecord& record, std::size_t moe, const GoldenFile& file,
                      const std::string& layer) {
  EXPECT_EQ(record.expert[moe], file.ints(layer + "topk_ids")) << layer;
  expect_weights(record.probability[moe], file.floats(layer + "topk_probs"), layer + "topk_probs");
  expect_weights(record.weight[moe], file.floats(layer + "topk_weights"), layer + "topk_weights");
  expect_close(record.router_logits[moe], file.floats(layer + "router_logits"), kTolerance,
               layer + "router_logits");
  expect_close(record.entropy[moe], file.floats(layer + "router_entropy"), kTolerance,
               layer + "router_entropy");
  expect_close(record.output_norm[moe], file.floats(layer + "expert_norm"), kTolerance,
               layer + "expert_norm");
  expect_close(record.output_max[moe], file.floats(layer + "expert_max"), kTolerance, layer + "expert_max");
  EXPECT_EQ(record.output_channel[moe], file.ints(layer + "expert_max_channel")) << layer;
}

void expect_matches(const SequenceRecord& record, const GoldenFile& file,
                    const std::vector<int>& moe_layers) {
  const auto positions = file.ints("positions");
  const int width = file.columns("embedding");
  expect_close(rows_at(record.embedding, positions, width), file.floats("embedding"), kTolerance,
               "embedding");
  for (std::size_t n = 0; n < record.hidden.size(); ++n) {
    const std::string layer = "layer." + std::to_string(n) + ".";
    expect_close(rows_at(record.hidden[n], positions, width), file.floats(layer + "hidden"), kTolerance,
                 layer + "hidden");
    expect_close(record.hidden_max[n], file.floats(layer + "hidden_max"), kTolerance, layer + "hidden_max");
    EXPECT_EQ(record.hidden_channel[n], file.ints(layer + "hidden_max_channel")) << layer;
  }
  for (std::size_t moe = 0; moe < moe_layers.size(); ++moe) {
    expect_moe_layer(record, moe, file, "layer." + std::to_string(moe_layers[moe]) + ".");
  }
  expect_close(rows_at(record.logits, positions, file.columns("logits")), file.floats("logits"), kTolerance,
               "logits");
  if (!file.has("next_token_logprob")) return;
  const std::vector<float> log_probs(record.log_prob.begin() + 1, record.log_prob.end());
  expect_close(log_probs, file.floats("next_token_logprob"), kTolerance, "next_token_logprob");
}

class Reference : public testing::TestWithParam<std::string> {
 protected:
  std::vector<std::int32_t> prompt(int length) const {
    return meta_["prompts"][std::to_string(length)].get<std::vector<std::int32_t>>();
  }
  std::vector<int> moe_layers() const { return meta_["moe_layers"].get<std::vector<int>>(); }

  nlohmann::json meta_ = meta(GetParam());
  std::unique_ptr<Session> session_ = make_session(GetParam());
};

TEST_P(Reference, WholeSequences) {
  for (const int length : kLengths) {
    SCOPED_TRACE(length);
    const auto record = run_in_pieces(*session_, prompt(length), {length});
    expect_matches(record, golden(GetParam(), length), moe_layers());
  }
}

TEST_P(Reference, TokenByToken) {
  for (const int length : {7, 300}) {
    SCOPED_TRACE(length);
    expect_matches(run_in_pieces(*session_, prompt(length), {1}), golden(GetParam(), length), moe_layers());
  }
}

TEST_P(Reference, EverySplitInTwoOfAShortSequence) {
  for (int first = 1; first < 7; ++first) {
    SCOPED_TRACE(first);
    expect_matches(run_in_pieces(*session_, prompt(7), {first, 7}), golden(GetParam(), 7), moe_layers());
  }
}

TEST_P(Reference, UnevenChunksOfALongSequence) {
  for (const std::vector<int>& sizes :
       {std::vector{64}, std::vector{1, 130, 2, 17, 150}, std::vector{299, 1}}) {
    SCOPED_TRACE(sizes.front());
    expect_matches(run_in_pieces(*session_, prompt(300), sizes), golden(GetParam(), 300), moe_layers());
  }
}

TEST_P(Reference, SeveralSequencesInOneBatch) {
  Recording recording(*session_, all_probes());
  ASSERT_TRUE(recording.step({{0, prompt(1)}, {1, prompt(300)}, {2, prompt(7)}}));
  expect_matches(recording.sequence(0), golden(GetParam(), 1), moe_layers());
  expect_matches(recording.sequence(1), golden(GetParam(), 300), moe_layers());
  expect_matches(recording.sequence(2), golden(GetParam(), 7), moe_layers());
}

TEST_P(Reference, SequencesThatStartAndGoOnAtDifferentTimes) {
  const auto longer = prompt(300);
  const auto shorter = prompt(7);
  Recording recording(*session_, all_probes());
  ASSERT_TRUE(recording.step({{0, {longer.begin(), longer.begin() + 100}}}));
  ASSERT_TRUE(recording.step({{0, {longer[100]}}, {2, {shorter.begin(), shorter.begin() + 3}}}));
  ASSERT_TRUE(recording.step({{0, {longer.begin() + 101, longer.end()}}, {2, {shorter[3]}}}));
  ASSERT_TRUE(recording.step({{2, {shorter.begin() + 4, shorter.end()}}}));
  expect_matches(recording.sequence(0), golden(GetParam(), 300), moe_layers());
  expect_matches(recording.sequence(2), golden(GetParam(), 7), moe_layers());
}

TEST_P(Reference, ProbesDoNotChangeALogit) {
  for (const MathMode math : {MathMode::f32, MathMode::bf16}) {
    const auto session = make_session(GetParam(), math);
    const auto on = run_in_pieces(*session, prompt(300), {100, 1, 64});
    ASSERT_TRUE(session->truncate(0, 0));
    Recording off(*session, {});
    const auto tokens = prompt(300);
    std::size_t done = 0;
    for (const std::size_t size : {100, 1, 64, 64, 64, 7}) {
      const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(done);
      ASSERT_TRUE(off.step({{0, {first, first + static_cast<std::ptrdiff_t>(size)}}}));
      done += size;
    }
    EXPECT_EQ(on.logits, off.sequence(0).logits);  // bit for bit
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Reference, testing::ValuesIn(all_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace expertscope::parity
