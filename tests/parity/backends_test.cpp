// SPDX-License-Identifier: GPL-3.0-or-later
// The backend of this binary against the CPU, in one process: every intermediate that both name, every probe
// and every logit of the same steps. In f32 that is the reference, in bf16 (and for the reference itself) the
// CPU's fast path. Prints the largest difference of each.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/parity/golden.h"
#include "tests/parity/record.h"
#include "tests/parity/session.h"

namespace expertscope::parity {
namespace {

/// ||a - b|| / ||b|| by name, of all tokens (f32) or of the median token (bf16); the largest of all models.
class Differences : public testing::Environment {
 public:
  static Differences& instance() {
    static auto* environment = static_cast<Differences*>(testing::AddGlobalTestEnvironment(new Differences));
    return *environment;
  }
  void note(MathMode math, const std::string& name, double difference) {
    double& worst = worst_[{math, name}];
    worst = std::max(worst, difference);
  }
  void TearDown() override {
    if (worst_.empty()) return;
    fmt::print(
        "||difference|| / ||CPU backend||, of all tokens (f32) and of the median token (bf16); the largest "
        "of all "
        "models\n  {:<24} {:>10} {:>10}\n",
        "", "f32", "bf16");
    for (const auto& [key, f32] : worst_) {
      if (key.first != MathMode::f32) continue;
      fmt::print("  {:<24} {:>10.1e} {:>10.1e}\n", key.second, f32, worst_[{MathMode::bf16, key.second}]);
    }
  }

 private:
  std::map<std::pair<MathMode, std::string>, double> worst_;
};

BackendOptions options_for(MathMode math) {
  BackendOptions options;
  options.math = math;
  options.threads = 2;
  options.max_sequences = 3;
  options.max_context = 320;
  options.max_batch = 320;
  return options;
}

Result<std::unique_ptr<Session>> open_on_cpu(std::shared_ptr<const Model> model, BackendOptions options) {
  options.choice.kind = BackendKind::cpu;
  return Session::create(std::move(model), options);
}

/// A prompt in uneven pieces, single tokens, and a batch of three sequences.
Status run_steps(Recording& recording, const std::vector<std::int32_t>& tokens) {
  const auto part = [&](std::size_t first, std::size_t count) {
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(first);
    return std::vector<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(count));
  };
  const std::size_t most = tokens.size() - 8;
  if (auto ok = recording.step({{0, part(0, most)}}); !ok) return ok;
  for (std::size_t i = 0; i < 4; ++i) {
    if (auto ok = recording.step({{0, part(most + i, 1)}}); !ok) return ok;
  }
  if (auto ok = recording.step({{1, part(3, 17)}, {2, part(0, 1)}}); !ok) return ok;
  if (auto ok = recording.step({{0, part(most + 4, 1)}, {1, part(20, 1)}, {2, part(1, 1)}}); !ok) return ok;
  return recording.step({{0, part(most + 5, 3)}, {1, part(21, 2)}, {2, part(2, 9)}});
}

class Backends : public testing::TestWithParam<std::string> {
 protected:
  std::vector<std::int32_t> prompt() const {
    auto tokens = meta(GetParam())["prompts"]["300"].get<std::vector<std::int32_t>>();
    if (is_emulated()) tokens.resize(44);
    return tokens;
  }

  /// Values of all tokens of a sequence. In f32 the whole must agree; in bf16, where a router that is nearly
  /// undecided sends a token to another expert now and then, the median token.
  void compare(const std::string& name, const std::vector<float>& actual,
               const std::vector<float>& expected) {
    ASSERT_EQ(actual.size(), expected.size()) << name;
    const std::size_t width = expected.size() / tokens_;
    std::vector<double> rows;
    double all = 0;
    double all_apart = 0;
    for (std::size_t first = 0; first < expected.size(); first += width) {
      double squares = 0;
      double apart = 0;
      for (std::size_t i = first; i < first + width; ++i) {
        ASSERT_EQ(std::isnan(actual[i]), std::isnan(expected[i])) << name << " " << i;
        if (std::isnan(expected[i])) continue;  // a log-probability that is not known
        squares += static_cast<double>(expected[i]) * expected[i];
        apart += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
      }
      rows.push_back(squares > 0 ? std::sqrt(apart / squares) : std::sqrt(apart));
      all += squares;
      all_apart += apart;
    }
    std::sort(rows.begin(), rows.end());
    const bool f32 = math_ == MathMode::f32;
    const double difference = !f32      ? rows[rows.size() / 2]
                              : all > 0 ? std::sqrt(all_apart / all)
                                        : std::sqrt(all_apart);
    EXPECT_LE(difference, f32 ? 1e-4 : 3e-2) << name;
    Differences::instance().note(math_, name, difference);
  }

  void compare(const std::string& name, const std::vector<std::vector<float>>& actual,
               const std::vector<std::vector<float>>& expected) {
    ASSERT_EQ(actual.size(), expected.size()) << name;
    for (std::size_t i = 0; i < expected.size(); ++i)
      compare(name, actual[i], expected[i]);
  }

  /// In bf16 two experts or channels that are nearly equal may change places.
  void compare_choices(const std::string& name, const std::vector<std::vector<int>>& actual,
                       const std::vector<std::vector<int>>& expected) {
    if (math_ == MathMode::f32) {
      EXPECT_EQ(actual, expected) << name;
      return;
    }
    ASSERT_EQ(actual.size(), expected.size()) << name;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(actual[i].size(), expected[i].size()) << name;
      std::size_t same = 0;
      for (std::size_t j = 0; j < expected[i].size(); ++j)
        same += actual[i][j] == expected[i][j] ? 1 : 0;
      EXPECT_GE(static_cast<double>(same), 0.75 * static_cast<double>(expected[i].size())) << name;
    }
  }

  void compare(const SequenceRecord& actual, const SequenceRecord& expected) {
    tokens_ = expected.hidden_max.front().size();
    compare("embedding", actual.embedding, expected.embedding);
    compare("hidden", actual.hidden, expected.hidden);
    compare("norm", actual.norm, expected.norm);
    compare("logits", actual.logits, expected.logits);
    compare("log_prob", actual.log_prob, expected.log_prob);
    compare("hidden_max", actual.hidden_max, expected.hidden_max);
    compare("first_token_attention", actual.first_token, expected.first_token);
    compare("router_logits", actual.router_logits, expected.router_logits);
    compare("entropy", actual.entropy, expected.entropy);
    compare("probability", actual.probability, expected.probability);
    compare("weight", actual.weight, expected.weight);
    compare("output_norm", actual.output_norm, expected.output_norm);
    compare("output_max", actual.output_max, expected.output_max);
    compare("contribution", actual.contribution, expected.contribution);
    compare("shared_norm", actual.shared_norm, expected.shared_norm);
    compare("shared_max", actual.shared_max, expected.shared_max);
    compare_choices("expert", actual.expert, expected.expert);
    compare_choices("output_channel", actual.output_channel, expected.output_channel);
    compare_choices("shared_channel", actual.shared_channel, expected.shared_channel);
    compare_choices("hidden_channel", actual.hidden_channel, expected.hidden_channel);
  }

  void run(MathMode math) {
    math_ = math;
    const auto model = open_model(GetParam());
    auto device = open_session(model, options_for(math));
    ASSERT_TRUE(device) << device.error().message;
    BackendOptions options = options_for(math);
    options.plain = math == MathMode::f32 && !(*device)->backend_info().always_f32;
    auto cpu = open_on_cpu(model, options);
    ASSERT_TRUE(cpu) << cpu.error().message;
    Recording actual(**device, all_probes());
    Recording expected(**cpu, all_probes());
    const Status ran = run_steps(actual, prompt());
    ASSERT_TRUE(ran) << ran.error().message;
    ASSERT_TRUE(run_steps(expected, prompt()));
    for (const int sequence : {0, 1, 2}) {
      SCOPED_TRACE(sequence);
      compare(actual.sequence(sequence), expected.sequence(sequence));
    }
  }

  MathMode math_ = MathMode::f32;
  std::size_t tokens_ = 1;  ///< of the sequence being compared
};

TEST_P(Backends, AgreeInEveryIntermediateInF32) {
  run(MathMode::f32);
}

TEST_P(Backends, AgreeInEveryIntermediateInBf16) {
  run(MathMode::bf16);
}

INSTANTIATE_TEST_SUITE_P(Models, Backends, testing::ValuesIn(all_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace expertscope::parity
