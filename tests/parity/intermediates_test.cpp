// SPDX-License-Identifier: GPL-3.0-or-later
// The plain path of the backend of this binary against the reference of the CPU: every intermediate of
// engine/backend/intermediates.h, in the same order, and everything the probes saw. The first that differs
// says which operation does.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/parity/golden.h"
#include "tests/parity/record.h"
#include "tests/parity/session.h"

namespace expertscope::parity {
namespace {

constexpr double kTolerance = 1e-5;  // of the largest magnitude

/// What was observed and captured, in order.
class Log final : public TensorObserver, public CaptureSink {
 public:
  void observe(const char* name, int layer, std::span<const float> values, int columns) override {
    names.push_back(layer < 0 ? name : fmt::format("{} of layer {}", name, layer));
    all.emplace_back(values.begin(), values.end());
    widths.push_back(columns);
  }
  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    blocks.push_back(std::move(block));
    return {};
  }

  std::vector<std::string> names;
  std::vector<std::vector<float>> all;
  std::vector<int> widths;
  std::vector<std::unique_ptr<CaptureBlock>> blocks;
};

/// Both without what neither measured: the attention of a layer that has none.
std::pair<std::vector<float>, std::vector<float>> measured(const std::vector<float>& a,
                                                           const std::vector<float>& b) {
  std::pair<std::vector<float>, std::vector<float>> both;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    both.first.push_back(a[i]);
    both.second.push_back(b[i]);
  }
  return both;
}

void expect_same_probes(const CaptureBlock& actual, const CaptureBlock& expected) {
  const auto compare = [](const ProbeColumn& column, const auto& a, const auto& b) {
    if (column.granularity == Granularity::token) return;  // what the session knows, not the backend
    if constexpr (std::is_same_v<decltype(a), const std::vector<float>&>) {
      EXPECT_EQ(a.size(), b.size()) << column.name;
      const auto [ours, theirs] = measured(a, b);
      expect_close(ours, theirs, kTolerance, column.name);
    } else {
      EXPECT_EQ(a, b) << column.name;
    }
  };
  for_each_column(compare, actual, expected);
}

class Intermediates : public testing::TestWithParam<std::string> {
 protected:
  /// A prompt, a token of it beside another prompt, and a piece of both.
  void run(Result<std::unique_ptr<Session>> session, Log& log) const {
    ASSERT_TRUE(session) << session.error().message;
    EXPECT_EQ((*session)->options().math, MathMode::f32);
    (*session)->set_capture(all_probes(), &log);
    (*session)->backend().set_observer(&log);
    const auto ids = meta(GetParam())["prompts"]["300"].get<std::vector<std::int32_t>>();
    std::size_t next = 0;
    for (const auto& chunks : {std::map<int, int>{{0, 9}}, {{0, 1}, {1, 3}}, {{0, 2}, {1, 1}}}) {
      Batch batch;
      batch.logits = LogitsWanted::all;
      for (const auto& [sequence, count] : chunks) {
        batch.chunks.push_back({sequence, 0, count});
        for (int t = 0; t < count; ++t)
          batch.tokens.push_back(ids[next++]);
      }
      const auto logits = (*session)->step(std::move(batch));
      ASSERT_TRUE(logits) << logits.error().message;
    }
  }
};

TEST_P(Intermediates, AreThoseOfTheReference) {
  const auto model = open_model(GetParam());
  BackendOptions options;
  options.max_context = 32;
  options.max_batch = 16;
  options.max_sequences = 2;
  options.plain = true;
  Log actual;
  Log expected;
  run(open_session(model, options), actual);
  options.choice.kind = BackendKind::cpu;
  run(Session::create(model, options), expected);
  if (HasFatalFailure()) return;
  ASSERT_EQ(actual.names, expected.names);
  EXPECT_EQ(actual.widths, expected.widths);
  for (std::size_t i = 0; i < expected.names.size(); ++i)
    expect_close(actual.all[i], expected.all[i], kTolerance, expected.names[i]);
  ASSERT_EQ(actual.blocks.size(), expected.blocks.size());
  for (std::size_t i = 0; i < expected.blocks.size(); ++i)
    expect_same_probes(*actual.blocks[i], *expected.blocks[i]);
}

INSTANTIATE_TEST_SUITE_P(Models, Intermediates, testing::ValuesIn(all_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace expertscope::parity
