// SPDX-License-Identifier: GPL-3.0-or-later
// Kernels that work row by row: embedding, norm, the search for NaN, candidates and scores of tokens.
#include "tests/engine/cuda/kernels.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/backend/candidates.h"
#include "engine/backend/log_prob.h"
#include "engine/cpu/kernels/kernels.h"
#include "engine/cuda/kernels/candidates.cuh"
#include "engine/cuda/kernels/checks.cuh"
#include "engine/cuda/kernels/rows.cuh"
#include "engine/cuda/kernels/scores.cuh"

namespace expertscope::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <DeviceType kType>
void expect_embedding(int width) {
  const std::vector<std::int32_t> ids = {4, 0, 4, 2};
  const std::vector<float> table = random_floats(static_cast<std::size_t>(5 * width), 1);
  Array<std::uint8_t> device_table(rows_of(table, width, padded(width), kType));
  Array<std::int32_t> device_ids(ids);
  DeviceStep step;
  step.tokens = 4;
  step.id = device_ids.data();
  Array<DeviceStep> device_step(std::vector{step});
  Array<float> hidden(static_cast<std::size_t>(4 * width));
  run(&embed_rows<kType>, {blocks(6), kRowThreads, 0}, device_step.data(),
      DeviceMatrix{device_table.data(), kType, 5, width, padded(width)}, hidden.data());
  std::vector<float> expected;
  for (const std::int32_t id : ids)
    for (int i = 0; i < width; ++i)
      expected.push_back(stored(table[static_cast<std::size_t>(id * width + i)], kType));
  EXPECT_EQ(hidden.read(), expected) << width;
}

TEST(EmbedRows, WidensRowsOfEveryTypeAndWidth) {
  for (const int width : {1, 7, 37, 64, 2100}) {
    expect_embedding<DeviceType::f32>(width);
    expect_embedding<DeviceType::f16>(width);
    expect_embedding<DeviceType::bf16>(width);
  }
}

TEST(NormRows, NormsTheRowsOfTheBatchAndFillsThePadding) {
  const cpu::Kernels& kernels = cpu::kernels_for(cpu::CpuLevel::scalar);
  for (const int width : {1, 7, 37, 64, 700}) {
    const int stride = padded(width);
    const auto w = static_cast<std::size_t>(width);
    const std::vector<float> hidden = random_floats(5 * w, 1);
    const std::vector<float> norm = random_floats(w, 2);
    Array<float> device_hidden(hidden), device_norm(norm);
    Array<std::int32_t> output_row(std::vector<std::int32_t>{4, 1, 2});
    DeviceStep step;
    step.tokens = 5;
    step.output_rows = 3;
    step.output_row = output_row.data();
    Array<DeviceStep> device_step(std::vector{step});
    Array<Bf16> normed(static_cast<std::size_t>(2 * stride));
    Array<float> exact(static_cast<std::size_t>(2 * stride));
    run(&norm_rows<Bf16>, {blocks(3), kRowThreads, 0}, device_step.data(), true, 1, device_hidden.data(),
        device_norm.data(), width, stride, 1e-5f, normed.data(), exact.data());
    std::vector<float> expected(static_cast<std::size_t>(2 * stride));
    for (const int r : {0, 1})
      kernels.rms_norm(hidden.data() + static_cast<std::size_t>(r + 1) * w, norm.data(), width, 1e-5f,
                       expected.data() + r * stride);
    expect_near(exact.read(), expected, 2e-6, "exact");
    std::vector<float> widened;
    for (const Bf16 value : normed.read())
      widened.push_back(load_activation(&value));
    expect_near(widened, expected, 4e-3, "rounded");
  }
}

TEST(NormRows, SplitIntoPiecesLosesNothingThatAFloatHas) {
  const int width = 37;
  const int stride = padded(width);
  const std::vector<float> hidden = random_floats(static_cast<std::size_t>(3 * width), 1);
  const std::vector<float> norm = random_floats(static_cast<std::size_t>(width), 2);
  Array<float> device_hidden(hidden), device_norm(norm);
  DeviceStep step;
  step.tokens = 3;
  Array<DeviceStep> device_step(std::vector{step});
  Array<float> normed(static_cast<std::size_t>(3 * stride));
  Array<Bf16> pieces(static_cast<std::size_t>(3 * kRouterPieces * stride));
  run(&norm_rows_in_pieces<float>, {blocks(4), kRowThreads, 0}, device_step.data(), device_hidden.data(),
      device_norm.data(), width, stride, 1e-5f, normed.data(), pieces.data());
  const std::vector<float> expected = normed.read();
  const std::vector<Bf16> split = pieces.read();
  for (int r = 0; r < 3; ++r) {
    for (int i = 0; i < stride; ++i) {
      float sum = 0;
      for (int p = 0; p < kRouterPieces; ++p)
        sum += load_activation(&split[static_cast<std::size_t>((r * kRouterPieces + p) * stride + i)]);
      EXPECT_EQ(sum, expected[static_cast<std::size_t>(r * stride + i)]) << r << " " << i;
    }
  }
}

TEST(CheckFinite, FindsOneBadValueAnywhere) {
  const auto flag_of = [](const std::vector<float>& values, int rows, int width) {
    Array<float> device(values);
    Array<unsigned> flag(std::vector<unsigned>{0});
    Array<std::int32_t> count(std::vector<std::int32_t>{rows});
    run(&check_finite, {blocks(2), kRowThreads, 0}, device.data(), values.size(),
        rows < 0 ? static_cast<const std::int32_t*>(nullptr) : count.data(), width, flag.data());
    return flag.read()[0];
  };
  const std::vector<float> sound = random_floats(1100, 1);
  EXPECT_EQ(flag_of(sound, -1, 0), 0u);
  for (const std::size_t at : {0, 255, 512, 1099}) {
    for (const float bad : {kNan, kInfinity, -kInfinity}) {
      std::vector<float> values = sound;
      values[at] = bad;
      EXPECT_EQ(flag_of(values, -1, 0), 1u) << at;
      EXPECT_EQ(flag_of(values, 10, 100), at < 1000 ? 1u : 0u) << "rows that do not count, " << at;
    }
  }
}

/// The two kernels, and what the host makes of what they leave.
struct Found {
  std::vector<RowCandidates> rows;
  unsigned not_finite = 0;
};
Found find(const std::vector<float>& logits, int rows, int wanted) {
  const int vocab = static_cast<int>(logits.size()) / rows;
  const int shares = (vocab + kCandidateShare - 1) / kCandidateShare;
  const auto parts = static_cast<std::size_t>(rows * shares);
  Array<float> device(logits), largest(parts), sum(parts);
  Array<std::int32_t> count(parts);
  Array<DeviceCandidate> candidate(parts * kCandidateRoom);
  Array<RowCandidates> found(static_cast<std::size_t>(rows));
  Array<unsigned> flag(std::vector<unsigned>{0});
  DeviceStep step;
  step.output_rows = rows;
  step.candidates = wanted;
  Array<DeviceStep> device_step(std::vector{step});
  const CandidateParts all{largest.data(), sum.data(), count.data(), candidate.data()};
  run(&find_candidate_parts, {blocks(shares, rows + 1), kCandidateThreads, 0}, device_step.data(),
      device.data(), vocab, all);
  run(&merge_candidates, {blocks(rows + 1), kCandidateThreads, 0}, device_step.data(), shares, all,
      found.data(), flag.data());
  return {found.read(), flag.read()[0]};
}

void expect_candidates(const std::vector<float>& logits, int rows, int wanted) {
  const std::size_t vocab = logits.size() / static_cast<std::size_t>(rows);
  SCOPED_TRACE(testing::Message() << wanted << " of " << vocab);
  const Found found = find(logits, rows, wanted);
  EXPECT_EQ(found.not_finite, 0u);
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
    TokenCandidates expected;
    select_candidates({logits.data() + r * vocab, vocab}, wanted, expected);
    const RowCandidates& row = found.rows[r];
    EXPECT_NEAR(row.log_sum_exp, expected.log_sum_exp, 1e-6);
    if (expected.best.size() > static_cast<std::size_t>(kCandidateRoom)) {
      EXPECT_GT(row.count, kCandidateRoom) << "says that there were more";
      continue;
    }
    ASSERT_EQ(static_cast<std::size_t>(row.count), expected.best.size());
    std::vector<Candidate> best;
    for (int i = 0; i < row.count; ++i)
      best.push_back({row.candidate[i].id, row.candidate[i].logit});
    std::sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) {
      return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    });
    EXPECT_EQ(best, expected.best);
  }
}

class Candidates : public testing::TestWithParam<int> {};

TEST_P(Candidates, AreThoseTheHostWouldChoose) {
  const auto vocab = static_cast<std::size_t>(GetParam());
  for (const int wanted : {1, 20, 64})
    expect_candidates(random_floats(2 * vocab, 1), 2, wanted);
}

TEST_P(Candidates, IncludeAllThatEqualTheLast) {
  const auto vocab = static_cast<std::size_t>(GetParam());
  std::vector<float> logits = random_floats(vocab, 2);
  for (std::size_t i = 0; i < vocab; i += 1 + vocab / 30)
    logits[i] = 2.0f;
  for (std::size_t i = 1; i < vocab; i += 1 + vocab / 9)
    logits[i] = i % 2 == 0 ? 0.0f : -0.0f;
  for (const int wanted : {1, 20, 64})
    expect_candidates(logits, 1, wanted);
}

TEST_P(Candidates, SayWhenMoreAreEqualThanThereIsRoomFor) {
  const auto vocab = static_cast<std::size_t>(GetParam());
  expect_candidates(std::vector<float>(vocab, -3.5f), 1, 20);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Candidates, testing::Values(1, 100, 4096, 4097, 10000),
                         testing::PrintToStringParamName());

TEST(CandidateFlags, ANanIsNoticed) {
  for (const float bad : {kNan, kInfinity}) {
    std::vector<float> logits = random_floats(5000, 3);
    logits[4500] = bad;
    EXPECT_EQ(find(logits, 1, 7).not_finite, 1u);
  }
}

TEST(CandidateFlags, AMaskedLogitIsNoFault) {
  std::vector<float> logits = random_floats(5000, 3);
  for (std::size_t i = 4096; i < logits.size(); ++i)
    logits[i] = -1e30f * static_cast<float>(i);
  expect_candidates(logits, 1, 7);
}

TEST(ScoreTargets, GivesTheLogProbabilityOfEveryTarget) {
  for (const int vocab : {1, 7, 100, 4097}) {
    const auto v = static_cast<std::size_t>(vocab);
    const std::vector<float> logits = random_floats(4 * v, 1);
    const std::vector<std::int32_t> targets = {0, -1, vocab - 1, vocab / 2};
    Array<float> device(logits), log_probs(4);
    Array<std::int32_t> device_targets(targets);
    Array<unsigned> flag(std::vector<unsigned>{0});
    run(&score_targets, {blocks(4), kRowThreads, 0}, device.data(), vocab, device_targets.data(),
        log_probs.data(), flag.data());
    EXPECT_EQ(flag.read()[0], 0u);
    for (std::size_t r = 0; r < 4; ++r) {
      if (targets[r] < 0) {
        EXPECT_TRUE(std::isnan(log_probs.read()[r]));
        continue;
      }
      const std::span<const float> row(logits.data() + r * v, v);
      EXPECT_NEAR(log_probs.read()[r], log_probability(row, targets[r]), 2e-6);
    }
  }
}

TEST(ScoreTargets, RaisesTheFlagForNanAndInfinity) {
  for (const float bad : {kNan, kInfinity}) {
    std::vector<float> logits = random_floats(300, 1);
    logits[299] = bad;
    Array<float> device(logits), log_probs(1);
    Array<std::int32_t> target(std::vector<std::int32_t>{1});
    Array<unsigned> flag(std::vector<unsigned>{0});
    run(&score_targets, {blocks(1), kRowThreads, 0}, device.data(), 300, target.data(), log_probs.data(),
        flag.data());
    EXPECT_EQ(flag.read()[0], 1u);
  }
}

}  // namespace
}  // namespace expertscope::cuda
