// SPDX-License-Identifier: GPL-3.0-or-later
// f32 mode against Hugging Face transformers: every hidden state, logit, router decision and probe, whole,
// in chunks and in a batch with other sequences.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/parity/golden.h"
#include "tests/parity/record.h"
#include "tests/parity/session.h"

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
  auto session = open_session(open_model(model), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

/// Tokens of the long sequence: an emulated backend takes its beginning.
int long_length() {
  return is_emulated() ? 70 : 300;
}

/// What a reference of `all` tokens says of the first `count`.
template <class T>
std::vector<T> beginning(std::vector<T> values, std::size_t all, std::size_t count) {
  values.resize(values.size() / all * count);
  return values;
}

/// A reference file cut to as many tokens as a record has.
class Beginning {
 public:
  Beginning(const GoldenFile& file, std::size_t tokens)
      : file_(file), tokens_(tokens), all_(file.ints("ids").size()) {}

  /// Of every token.
  std::vector<float> floats(const std::string& name) const {
    return beginning(file_.floats(name), all_, tokens_);
  }
  std::vector<std::int32_t> ints(const std::string& name) const {
    return beginning(file_.ints(name), all_, tokens_);
  }
  /// Of every token but the last.
  std::vector<float> of_next(const std::string& name) const {
    return beginning(file_.floats(name), all_ - 1, tokens_ - 1);
  }
  /// Of the positions whose whole rows the file has.
  std::vector<float> rows(const std::string& name) const {
    return beginning(file_.floats(name), file_.ints("positions").size(), positions().size());
  }
  std::vector<std::int32_t> positions() const {
    std::vector<std::int32_t> there;
    for (const std::int32_t position : file_.ints("positions")) {
      if (position < static_cast<std::int32_t>(tokens_)) there.push_back(position);
    }
    return there;
  }
  int columns(const std::string& name) const { return file_.columns(name); }
  bool has(const std::string& name) const { return file_.has(name); }

 private:
  const GoldenFile& file_;
  std::size_t tokens_, all_;
};

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
  EXPECT_THAT(actual, testing::Pointwise(testing::NanSensitiveFloatNear(kWeightTolerance), expected)) << what;
}

void expect_moe_layer(const SequenceRecord& record, std::size_t moe, const Beginning& file,
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
  ASSERT_EQ(record.shared_max.empty(), !file.has(layer + "shared_max"));
  if (record.shared_max.empty()) return;
  expect_close(record.shared_norm[moe], file.floats(layer + "shared_norm"), kTolerance,
               layer + "shared_norm");
  expect_close(record.shared_max[moe], file.floats(layer + "shared_max"), kTolerance, layer + "shared_max");
  EXPECT_EQ(record.shared_channel[moe], file.ints(layer + "shared_max_channel")) << layer;
}

void expect_matches(const SequenceRecord& record, const GoldenFile& whole,
                    const std::vector<int>& moe_layers) {
  ASSERT_FALSE(record.hidden_max.empty());
  const Beginning file(whole, record.hidden_max[0].size());
  const auto positions = file.positions();
  const int width = file.columns("embedding");
  expect_close(rows_at(record.embedding, positions, width), file.rows("embedding"), kTolerance, "embedding");
  for (std::size_t n = 0; n < record.hidden.size(); ++n) {
    const std::string layer = "layer." + std::to_string(n) + ".";
    expect_close(rows_at(record.hidden[n], positions, width), file.rows(layer + "hidden"), kTolerance,
                 layer + "hidden");
    expect_close(record.hidden_max[n], file.floats(layer + "hidden_max"), kTolerance, layer + "hidden_max");
    EXPECT_EQ(record.hidden_channel[n], file.ints(layer + "hidden_max_channel")) << layer;
    expect_weights(record.first_token[n], file.floats(layer + "first_token_attention"),
                   layer + "first_token_attention");
  }
  for (std::size_t moe = 0; moe < moe_layers.size(); ++moe) {
    expect_moe_layer(record, moe, file, "layer." + std::to_string(moe_layers[moe]) + ".");
  }
  expect_close(rows_at(record.logits, positions, file.columns("logits")), file.rows("logits"), kTolerance,
               "logits");
  if (!file.has("next_token_logprob")) return;
  const std::vector<float> log_probs(record.log_prob.begin() + 1, record.log_prob.end());
  expect_close(log_probs, file.of_next("next_token_logprob"), kTolerance, "next_token_logprob");
}

class Reference : public testing::TestWithParam<std::string> {
 protected:
  std::vector<std::int32_t> prompt(int length) const {
    auto ids = meta_["prompts"][std::to_string(length)].get<std::vector<std::int32_t>>();
    ids.resize(static_cast<std::size_t>(std::min(length, long_length())));
    return ids;
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
    // Emulated, the long sequence starts with a prompt.
    const std::vector<int> sizes = length == 300 && is_emulated() ? std::vector{50, 1} : std::vector{1};
    expect_matches(run_in_pieces(*session_, prompt(length), sizes), golden(GetParam(), length), moe_layers());
  }
}

TEST_P(Reference, EverySplitInTwoOfAShortSequence) {
  for (int first = 1; first < 7; ++first) {
    SCOPED_TRACE(first);
    expect_matches(run_in_pieces(*session_, prompt(7), {first, 7}), golden(GetParam(), 7), moe_layers());
  }
}

TEST_P(Reference, UnevenChunksOfALongSequence) {
  const std::vector<std::vector<int>> all = {{64}, {1, 130, 2, 17, 150}, {299, 1}};
  const std::vector<std::vector<int>> few = {{1, 30, 2, 17, 19, 1}};
  for (const std::vector<int>& sizes : is_emulated() ? few : all) {
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
  const int first = long_length() / 3;
  ASSERT_TRUE(recording.step({{0, {longer.begin(), longer.begin() + first}}}));
  ASSERT_TRUE(recording.step(
      {{0, {longer[static_cast<std::size_t>(first)]}}, {2, {shorter.begin(), shorter.begin() + 3}}}));
  ASSERT_TRUE(recording.step({{0, {longer.begin() + first + 1, longer.end()}}, {2, {shorter[3]}}}));
  ASSERT_TRUE(recording.step({{2, {shorter.begin() + 4, shorter.end()}}}));
  expect_matches(recording.sequence(0), golden(GetParam(), 300), moe_layers());
  expect_matches(recording.sequence(2), golden(GetParam(), 7), moe_layers());
}

TEST_P(Reference, ProbesDoNotChangeALogit) {
  const std::vector<int> sizes =
      is_emulated() ? std::vector{41, 1, 1, 27} : std::vector{100, 1, 64, 64, 64, 7};
  for (const MathMode math : {MathMode::f32, MathMode::bf16}) {
    const auto session = make_session(GetParam(), math);
    const auto on = run_in_pieces(*session, prompt(300), sizes);
    ASSERT_TRUE(session->truncate(0, 0));
    Recording off(*session, {});
    const auto tokens = prompt(300);
    std::size_t done = 0;
    for (const int size : sizes) {
      const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(done);
      ASSERT_TRUE(off.step({{0, {first, first + size}}}));
      done += static_cast<std::size_t>(size);
    }
    EXPECT_EQ(on.logits, off.sequence(0).logits);  // bit for bit
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Reference, testing::ValuesIn(all_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace expertscope::parity
