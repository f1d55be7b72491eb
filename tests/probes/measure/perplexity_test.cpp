// SPDX-License-Identifier: GPL-3.0-or-later
// The two protocols spelled out by hand; tests/parity compares them with transformers.
#include "probes/measure/perplexity.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

std::unique_ptr<Session> make_session() {
  BackendOptions options;
  options.math = MathMode::f32;
  options.threads = 1;
  options.max_context = 32;
  options.max_batch = 6;
  auto session = Session::create(testing::random_model(testing::tiny_config(), FormatId::f32, 5), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

Ids text(int count) {
  Ids ids;
  for (int i = 0; i < count; ++i)
    ids.push_back((i * i * 31 + 7 * i) % 97);
  return ids;
}

/// -log p of each token of a window given what is before it in the window; the first has none.
std::vector<double> token_nlls(Session& session, const Ids& window) {
  std::vector<double> nlls = {0};
  EXPECT_TRUE(session.truncate(0, 0));
  for (std::size_t i = 0; i + 1 < window.size(); ++i) {
    const auto logits = session.step({{window[i]}, {{0, 0, 1}}});
    nlls.push_back(negative_log_likelihood(*logits, window[i + 1]));
  }
  return nlls;
}

Ids slice(const Ids& ids, std::size_t begin, std::size_t end) {
  return {ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(end)};
}

TEST(Perplexity, HfSlidesAWindowAndScoresEachTokenOnce) {
  const auto session = make_session();
  const Ids ids = text(25);
  const auto first = token_nlls(*session, slice(ids, 0, 12));
  const auto second = token_nlls(*session, slice(ids, 8, 20));
  const auto third = token_nlls(*session, slice(ids, 16, 25));
  double sum = 0;
  for (std::size_t i = 1; i < 12; ++i)
    sum += first[i];
  for (std::size_t i = 4; i < 12; ++i)
    sum += second[i];  // tokens 12 .. 19
  for (std::size_t i = 4; i < 9; ++i)
    sum += third[i];  // tokens 20 .. 24
  const auto result = perplexity(*session, ids, {.context = 12, .stride = 8});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->windows, 3);
  EXPECT_EQ(result->scored_tokens, 24);
  EXPECT_NEAR(result->nll_mean, sum / 24, 1e-5);
  EXPECT_NEAR(result->perplexity, std::exp(sum / 24), 1e-2);
}

TEST(Perplexity, LlamacppScoresTheSecondHalfOfDisjointWindowsAfterABos) {
  const auto session = make_session();
  const Ids ids = text(25);  // two windows of 10; the last five tokens are left out
  double sum = 0;
  double squares = 0;
  for (const std::size_t begin : {0, 10}) {
    Ids window = slice(ids, begin, begin + 10);
    window[0] = 42;
    const auto nlls = token_nlls(*session, window);
    for (std::size_t i = 6; i < 10; ++i) {
      sum += nlls[i];
      squares += nlls[i] * nlls[i];
    }
  }
  PerplexityOptions options;
  options.protocol = PerplexityProtocol::llamacpp;
  options.context = 10;
  options.bos_token_id = 42;
  const auto result = perplexity(*session, ids, options);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->windows, 2);
  EXPECT_EQ(result->scored_tokens, 8);
  const double mean = sum / 8;
  EXPECT_NEAR(result->nll_mean, mean, 1e-5);
  const double error = std::sqrt((squares / 8 - mean * mean) / 7) * std::exp(mean);
  EXPECT_NEAR(result->standard_error / error, 1.0, 1e-3);
}

TEST(Perplexity, ReportsProgressAndStops) {
  const auto session = make_session();
  std::vector<double> fractions;
  std::stop_source stop;
  const auto result = perplexity(
      *session, text(25), {.context = 12, .stride = 8},
      [&](double fraction, double so_far) {
        fractions.push_back(fraction);
        EXPECT_GT(so_far, 1);
        if (fractions.size() == 2) stop.request_stop();
      },
      stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  ASSERT_EQ(fractions.size(), 2u);
  EXPECT_NEAR(fractions[0], 1.0 / 3, 1e-9);
}

TEST(Perplexity, RefusesWhatCannotBeScored) {
  const auto session = make_session();
  const auto error = [&](const Ids& ids, PerplexityOptions options) {
    const auto result = perplexity(*session, ids, options);
    return result ? "accepted" : result.error().message;
  };
  EXPECT_THAT(error({1}, {.context = 8, .stride = 4}), HasSubstr("nothing to score"));
  EXPECT_THAT(error(text(9), {.context = 1, .stride = 1}), HasSubstr("a context of 1"));
  EXPECT_THAT(error(text(9), {.protocol = PerplexityProtocol::llamacpp, .context = 2}),
              HasSubstr("a context of 2 tokens scores nothing"));
  EXPECT_THAT(error(text(9), {.context = 64, .stride = 4}), HasSubstr("the session holds 32"));
  EXPECT_THAT(error(text(9), {.context = 8, .stride = 0}), HasSubstr("a stride of 0"));
  EXPECT_THAT(error(text(9), {.context = 8, .stride = 9}), HasSubstr("a stride of 9"));
  EXPECT_THAT(error(text(9), {.protocol = PerplexityProtocol::llamacpp, .context = 10}),
              HasSubstr("fewer than one window of 10"));
}

}  // namespace
}  // namespace expertscope
