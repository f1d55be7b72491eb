// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "tests/engine/cpu/kernels/kernel_test_support.h"

namespace expertscope::cpu {
namespace {

struct Shape {
  int head_dim;
  int group;
  std::int64_t position;
  std::int64_t tokens;
  std::int64_t window = 0;
  bool sinks = false;
  int latent = 0;  ///< so many last elements of a key are the value; 0: values lie apart, as wide as keys

  int value_dim() const { return latent > 0 ? latent : head_dim; }
};

class AttentionTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void expect_same_bits_in_chunks(const Shape& whole) const;

  const Kernels& kernels_ = kernels_for(GetParam());
};

/// A cache of one key/value head and the queries of one chunk.
struct Case {
  Case(const Shape& s, FormatId type)
      : shape(s),
        stride(s.head_dim + 3),
        numbers(static_cast<std::uint32_t>(s.head_dim * 7 + s.position)),
        k(numbers.take((s.position + s.tokens) * stride), s.position + s.tokens, stride, type, 4),
        v(numbers.take((s.position + s.tokens) * stride), s.position + s.tokens, stride, type, 4),
        q(numbers.take(s.tokens * s.group * s.head_dim)) {
    for (float& value : q)
      value *= 4;  // so that the softmax is not flat
    for (int head = 0; s.sinks && head < s.group; ++head)
      sinks.push_back(head == 1 ? 30.0f : 4 * numbers.next());
  }

  AttentionTask task(std::vector<float>& out) const {
    AttentionTask task;
    task.q = q.data();
    task.q_stride = shape.group * shape.head_dim;
    task.group = shape.group;
    task.head_dim = shape.head_dim;
    task.value_dim = shape.value_dim();
    task.k = k.matrix().data;
    const auto element = static_cast<std::size_t>(k.matrix().format->block.bytes);
    const auto* key = static_cast<const std::uint8_t*>(k.matrix().data);
    task.v = shape.latent > 0 ? key + element * static_cast<std::size_t>(shape.head_dim - shape.latent)
                              : v.matrix().data;
    task.kv_stride = stride;
    task.kv_bf16 = k.matrix().format->id == FormatId::bf16;
    task.position = shape.position;
    task.tokens = shape.tokens;
    task.window = shape.window;
    task.sinks = sinks.empty() ? nullptr : sinks.data();
    task.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
    task.out = out.data();
    task.out_stride = shape.group * shape.value_dim();
    return task;
  }

  /// The task with its probe on; `first` is [tokens, group] and one more float between tokens.
  AttentionTask probed(std::vector<float>& out, std::vector<float>& first) const {
    AttentionTask probed = task(out);
    probed.first_stride = shape.group + 1;
    first.assign(static_cast<std::size_t>(shape.tokens * probed.first_stride), -1.0f);
    probed.first = first.data();
    return probed;
  }

  /// Softmax weights of the keys up to a token, 0 of those that a window hides.
  std::vector<double> weights(std::int64_t token, int head) const {
    const float* query = q.data() + (token * shape.group + head) * shape.head_dim;
    const std::int64_t keys = shape.position + token + 1;
    std::vector<double> weights;
    double total = 0;
    for (std::int64_t t = 0; t < keys; ++t) {
      double score = 0;
      for (int d = 0; d < shape.head_dim; ++d)
        score += static_cast<double>(query[d]) * k.at(t, d);
      const bool hidden = shape.window > 0 && t < keys - shape.window;
      weights.push_back(hidden ? 0.0 : std::exp(score / std::sqrt(shape.head_dim)));
      total += weights.back();
    }
    if (shape.sinks) total += std::exp(static_cast<double>(sinks[static_cast<std::size_t>(head)]));
    for (double& weight : weights)
      weight /= total;
    return weights;
  }

  std::vector<double> expected(std::int64_t token, int head) const {
    const std::vector<double> shares = weights(token, head);
    std::vector<double> out(static_cast<std::size_t>(shape.value_dim()));
    for (std::size_t t = 0; t < shares.size(); ++t)
      for (int d = 0; d < shape.value_dim(); ++d)
        out[static_cast<std::size_t>(d)] += shares[t] * value(static_cast<std::int64_t>(t), d);
    return out;
  }

  double value(std::int64_t t, int d) const {
    return shape.latent > 0 ? k.at(t, shape.head_dim - shape.latent + d) : v.at(t, d);
  }

  Shape shape;
  std::int64_t stride;
  Numbers numbers;
  TestMatrix k;
  TestMatrix v;
  std::vector<float> q;
  std::vector<float> sinks;
};

/// Latents behind a key that turns, up to the sizes of DeepSeek and beyond those of the fast kernel.
const Shape kLatents[] = {{.head_dim = 28, .group = 4, .position = 0, .tokens = 5, .latent = 20},
                          {.head_dim = 40, .group = 8, .position = 70, .tokens = 1, .latent = 32},
                          {.head_dim = 576, .group = 8, .position = 60, .tokens = 9, .latent = 512},
                          {.head_dim = 640, .group = 3, .position = 5, .tokens = 2, .latent = 576}};

/// With windows shorter and longer than the text, across blocks of keys, and sinks of which one is large.
const Shape kWindowsAndSinks[] = {
    {16, 2, 0, 9, 4},         {32, 4, 60, 70, 3},         {32, 1, 200, 3, 64},     {16, 8, 0, 150, 65},
    {64, 3, 130, 1, 128},     {20, 2, 5, 17, 1},          {16, 2, 0, 30, 500},     {32, 4, 0, 5, 0, true},
    {64, 2, 0, 130, 0, true}, {32, 8, 100, 40, 17, true}, {600, 2, 20, 4, 9, true}};

std::vector<Shape> with_every_kind(std::span<const Shape> plain) {
  std::vector<Shape> all(plain.begin(), plain.end());
  all.insert(all.end(), std::begin(kWindowsAndSinks), std::end(kWindowsAndSinks));
  all.insert(all.end(), std::begin(kLatents), std::end(kLatents));
  return all;
}

TEST_P(AttentionTest, AgreesWithDoublePrecision) {
  const Shape shapes[] = {{8, 1, 0, 1},     {32, 4, 0, 5},  {64, 1, 63, 3}, {64, 2, 0, 130},  {80, 3, 60, 9},
                          {128, 8, 200, 1}, {20, 2, 5, 17}, {7, 1, 0, 70},  {128, 1, 511, 2}, {600, 1, 3, 2}};
  for (const Shape& shape : with_every_kind(shapes)) {
    for (const FormatId type : {FormatId::f32, FormatId::bf16}) {
      const Case c(shape, type);
      std::vector<float> out(c.q.size());
      kernels_.attention(c.task(out));
      for (std::int64_t token = 0; token < shape.tokens; ++token) {
        for (int head = 0; head < shape.group; ++head) {
          const std::vector<double> expected = c.expected(token, head);
          for (int d = 0; d < shape.value_dim(); ++d)
            ASSERT_NEAR(out[static_cast<std::size_t>((token * shape.group + head) * shape.value_dim() + d)],
                        expected[static_cast<std::size_t>(d)], 4e-6)
                << "head_dim " << shape.head_dim << " token " << token << " head " << head;
        }
      }
    }
  }
}

TEST_P(AttentionTest, TellsTheWeightOfTheFirstPositionAndChangesNoBit) {
  const Shape shapes[] = {{8, 1, 0, 1}, {32, 4, 0, 5}, {64, 2, 0, 130}, {80, 3, 60, 9}, {600, 1, 3, 2}};
  for (const Shape& shape : with_every_kind(shapes)) {
    for (const FormatId type : {FormatId::f32, FormatId::bf16}) {
      const Case c(shape, type);
      std::vector<float> off(c.q.size());
      std::vector<float> on(c.q.size());
      std::vector<float> first;
      kernels_.attention(c.task(off));
      kernels_.attention(c.probed(on, first));
      EXPECT_EQ(on, off);
      for (std::int64_t token = 0; token < shape.tokens; ++token) {
        const float* row = first.data() + token * (shape.group + 1);
        for (int head = 0; head < shape.group; ++head)
          EXPECT_NEAR(row[head], c.weights(token, head)[0], 2e-6) << "token " << token << " head " << head;
        EXPECT_EQ(row[shape.group], -1.0f) << "what lies between tokens stays";
      }
    }
  }
}

void AttentionTest::expect_same_bits_in_chunks(const Shape& whole) const {
  const Case c(whole, FormatId::f32);
  std::vector<float> together(c.q.size());
  kernels_.attention(c.task(together));
  for (const std::int64_t chunk : {1, 7, 64}) {
    std::vector<float> split(c.q.size());
    for (std::int64_t begin = 0; begin < whole.tokens; begin += chunk) {
      AttentionTask task = c.task(split);
      task.q += begin * task.q_stride;
      task.out += begin * task.out_stride;
      task.position = begin;
      task.tokens = std::min(chunk, whole.tokens - begin);
      kernels_.attention(task);
    }
    EXPECT_EQ(split, together) << "chunks of " << chunk;
  }
}

TEST_P(AttentionTest, ATokenGetsTheSameBitsInEveryChunking) {
  for (const Shape& whole : {Shape{64, 2, 0, 150}, Shape{64, 2, 0, 150, 20, true}, Shape{32, 3, 0, 150, 70},
                             Shape{.head_dim = 40, .group = 8, .position = 0, .tokens = 150, .latent = 32}})
    expect_same_bits_in_chunks(whole);
}

TEST_P(AttentionTest, NeverReadsKeysOfTheFuture) {
  const Shape shape{16, 1, 10, 3};
  const Case c(shape, FormatId::f32);
  std::vector<float> expected(c.q.size());
  kernels_.attention(c.task(expected));
  // The same cache, with the position after the last token poisoned in a copy one row longer.
  std::vector<float> k(static_cast<std::size_t>(c.stride * 14), std::nanf(""));
  std::vector<float> v = k;
  std::memcpy(k.data(), c.k.matrix().data, static_cast<std::size_t>(c.stride) * 13 * sizeof(float));
  std::memcpy(v.data(), c.v.matrix().data, static_cast<std::size_t>(c.stride) * 13 * sizeof(float));
  std::vector<float> out(c.q.size());
  AttentionTask task = c.task(out);
  task.k = k.data();
  task.v = v.data();
  kernels_.attention(task);
  EXPECT_EQ(out, expected);
}

INSTANTIATE_TEST_SUITE_P(Levels, AttentionTest, ::testing::ValuesIn(available_levels()), level_test_name);

}  // namespace
}  // namespace expertscope::cpu
