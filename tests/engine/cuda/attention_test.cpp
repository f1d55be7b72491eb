// SPDX-License-Identifier: GPL-3.0-or-later
// The three attention kernels against engine/cpu's: every head size and group, short and long contexts,
// several sequences.
#include "tests/engine/cuda/kernels.h"

#include <cmath>
#include <memory>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cuda/kernels/attention_decode.cuh"
#include "engine/cuda/kernels/attention_mma.cuh"
#include "engine/cuda/kernels/attention_tiled.cuh"

namespace expertscope::cuda {
namespace {

/// Consecutive tokens of one sequence.
struct Chunk {
  int sequence = 0;
  int start = 0;
  int count = 1;
};

struct Problem {
  int head_dim = 16;
  int kv_heads = 1;
  int group = 1;
  std::vector<Chunk> chunks = {};
  bool extras = true;  ///< bias, q/k norm
};
void PrintTo(const Problem& p, std::ostream* out) {
  *out << p.kv_heads << " x " << p.group << " heads of " << p.head_dim << ", at " << p.chunks.back().start;
}

constexpr int kLayer = 1;
constexpr int kLayers = 2;
constexpr int kSequences = 3;

/// Inputs of a step on the device, and what the CPU's kernels make of them.
template <class C>
class Attention {
 public:
  static constexpr DeviceType kCacheType = sizeof(C) == 2 ? DeviceType::bf16 : DeviceType::f32;

  Attention(const Problem& problem, int tile) : p_(problem) {
    for (const Chunk& chunk : p_.chunks) {
      positions_ = std::max(positions_, chunk.start + chunk.count);
      for (int t = 0; t < chunk.count; ++t) {
        position_.push_back(chunk.start + t);
        sequence_.push_back(chunk.sequence);
      }
    }
    const auto width = static_cast<std::size_t>(p_.head_dim);
    qkv_ = random_floats(static_cast<std::size_t>(tokens() * row()), 1);
    bias_ = random_floats(static_cast<std::size_t>(row()), 2);
    q_norm_ = random_floats(width, 3);
    k_norm_ = random_floats(width, 4);
    rope_ = random_floats(static_cast<std::size_t>(positions_) * width, 5);
    fill_cache();
    make_tiles(tile);
    make_device();
  }

  int tokens() const { return static_cast<int>(position_.size()); }
  int heads() const { return p_.kv_heads * p_.group; }
  int row() const { return (heads() + 2 * p_.kv_heads) * p_.head_dim; }
  int stride() const { return padded(p_.head_dim); }
  int attended_stride() const { return padded(heads() * p_.head_dim); }
  int tile_count() const { return static_cast<int>(tiles_.size()); }

  const DeviceStep* step() { return step_->data(); }
  const QueryTile* tiles() { return tiles_device_->data(); }
  float* qkv() { return qkv_device_->data(); }
  DeviceCache cache() { return {cache_device_->data(), kLayers, p_.kv_heads, positions_, stride()}; }
  DeviceHeads device_heads() {
    const bool extras = p_.extras;
    return {heads(),
            p_.kv_heads,
            p_.head_dim,
            p_.head_dim / 2,
            kLayer,
            1e-6f,
            extras ? bias_device_->data() : nullptr,
            extras ? q_norm_device_->data() : nullptr,
            extras ? k_norm_device_->data() : nullptr,
            rope_device_->data()};
  }

  /// [tokens][attended_stride], the padding zero.
  std::vector<float> expected(std::vector<float>& first_token) const;
  std::vector<C> cache_after() const { return cache_device_->read(); }
  /// The cache with the new positions of this layer written.
  std::vector<float> expected_cache() const;

 private:
  std::size_t cache_at(int sequence, int layer, int which, int kv_head, int position) const {
    const DeviceCache view{nullptr, kLayers, p_.kv_heads, positions_, stride()};
    return view.head(sequence, layer, which, kv_head) + static_cast<std::size_t>(position * stride());
  }
  /// A finished head: bias, norm, rotation.
  std::vector<float> head(int token, int at, const std::vector<float>& norm) const;

  void fill_cache() {
    const std::size_t size = cache_at(kSequences, 0, 0, 0, 0);
    cache_ = random_floats(size, 6);
    for (std::size_t i = 0; i < size; ++i) {
      const bool padding = i % static_cast<std::size_t>(stride()) >= static_cast<std::size_t>(p_.head_dim);
      cache_[i] = padding ? 0.0f : stored(cache_[i], kCacheType);
    }
  }
  void make_tiles(int tile) {
    int row = 0;
    for (const Chunk& chunk : p_.chunks) {
      for (int first = 0; first < chunk.count; first += tile)
        tiles_.push_back(
            {row + first, chunk.sequence, chunk.start + first, std::min(tile, chunk.count - first)});
      row += chunk.count;
    }
  }
  void make_device() {
    qkv_device_ = std::make_unique<Array<float>>(qkv_);
    bias_device_ = std::make_unique<Array<float>>(bias_);
    q_norm_device_ = std::make_unique<Array<float>>(q_norm_);
    k_norm_device_ = std::make_unique<Array<float>>(k_norm_);
    rope_device_ = std::make_unique<Array<float>>(rope_);
    position_device_ = std::make_unique<Array<std::int32_t>>(position_);
    sequence_device_ = std::make_unique<Array<std::int32_t>>(sequence_);
    tiles_device_ = std::make_unique<Array<QueryTile>>(tiles_);
    std::vector<C> cached(cache_.size());
    for (std::size_t i = 0; i < cached.size(); ++i)
      store_activation(cache_[i], &cached[i]);
    cache_device_ = std::make_unique<Array<C>>(cached);
    DeviceStep step;
    step.tokens = tokens();
    step.position = position_device_->data();
    step.sequence = sequence_device_->data();
    step_ = std::make_unique<Array<DeviceStep>>(std::vector{step});
  }

  Problem p_;
  int positions_ = 0;
  std::vector<std::int32_t> position_, sequence_;
  std::vector<float> qkv_, bias_, q_norm_, k_norm_, rope_, cache_;
  std::vector<QueryTile> tiles_;
  std::unique_ptr<Array<float>> qkv_device_, bias_device_, q_norm_device_, k_norm_device_, rope_device_;
  std::unique_ptr<Array<std::int32_t>> position_device_, sequence_device_;
  std::unique_ptr<Array<QueryTile>> tiles_device_;
  std::unique_ptr<Array<C>> cache_device_;
  std::unique_ptr<Array<DeviceStep>> step_;
};

template <class C>
std::vector<float> Attention<C>::head(int token, int at, const std::vector<float>& norm) const {
  const cpu::Kernels& kernels = cpu::kernels_for(cpu::CpuLevel::scalar);
  std::vector<float> values;
  for (int i = at; i < at + p_.head_dim; ++i)
    values.push_back(qkv_[static_cast<std::size_t>(token * row() + i)] +
                     (p_.extras ? bias_[static_cast<std::size_t>(i)] : 0.0f));
  if (norm.empty()) return values;
  if (p_.extras) kernels.rms_norm(values.data(), norm.data(), p_.head_dim, 1e-6f, values.data());
  const float* angles =
      rope_.data() + static_cast<std::ptrdiff_t>(position_[static_cast<std::size_t>(token)]) * p_.head_dim;
  kernels.rope(values.data(), angles, angles + p_.head_dim / 2, p_.head_dim);
  return values;
}

template <class C>
std::vector<float> Attention<C>::expected_cache() const {
  std::vector<float> cache = cache_;
  for (int t = 0; t < tokens(); ++t) {
    for (int h = 0; h < p_.kv_heads; ++h) {
      const int key = (heads() + h) * p_.head_dim;
      const auto at = static_cast<std::size_t>(t);
      const std::vector<float> values[2] = {head(t, key, k_norm_),
                                            head(t, key + p_.kv_heads * p_.head_dim, {})};
      for (const int which : {0, 1}) {
        const std::size_t place = cache_at(sequence_[at], kLayer, which, h, position_[at]);
        for (std::size_t i = 0; i < values[which].size(); ++i)
          cache[place + i] = stored(values[which][i], kCacheType);
      }
    }
  }
  return cache;
}

/// A softmax written down: all scores, their exponentials in double, the mass of position 0.
template <class C>
std::vector<float> Attention<C>::expected(std::vector<float>& first_token) const {
  const std::vector<float> cache = expected_cache();
  std::vector<float> attended(static_cast<std::size_t>(tokens() * attended_stride()));
  first_token.clear();
  for (int t = 0; t < tokens(); ++t) {
    const auto at = static_cast<std::size_t>(t);
    for (int h = 0; h < heads(); ++h) {
      const std::vector<float> q = head(t, h * p_.head_dim, q_norm_);
      const float* keys = cache.data() + cache_at(sequence_[at], kLayer, 0, h / p_.group, 0);
      const float* values = cache.data() + cache_at(sequence_[at], kLayer, 1, h / p_.group, 0);
      std::vector<double> weights;
      double sum = 0;
      for (int p = 0; p <= position_[at]; ++p) {
        double score = 0;
        for (int d = 0; d < p_.head_dim; ++d)
          score += static_cast<double>(q[static_cast<std::size_t>(d)]) * keys[p * stride() + d];
        weights.push_back(score / std::sqrt(p_.head_dim));
      }
      const double largest = *std::max_element(weights.begin(), weights.end());
      for (double& weight : weights)
        sum += weight = std::exp(weight - largest);
      first_token.push_back(static_cast<float>(weights[0] / sum));
      for (int d = 0; d < p_.head_dim; ++d) {
        double value = 0;
        for (int p = 0; p <= position_[at]; ++p)
          value += weights[static_cast<std::size_t>(p)] * values[p * stride() + d];
        attended[static_cast<std::size_t>(t * attended_stride() + h * p_.head_dim + d)] =
            static_cast<float>(value / sum);
      }
    }
  }
  return attended;
}

template <class T>
std::vector<float> widened(const std::vector<T>& values) {
  std::vector<float> result;
  for (const T value : values)
    result.push_back(load_activation(&value));
  return result;
}

template <class C>
void expect_cache(const Attention<C>& attention) {
  expect_near(widened(attention.cache_after()), attention.expected_cache(), sizeof(C) == 2 ? 4e-3 : 1e-5,
              "cache");
}

/// 0.4 % of bf16 in queries, weights and outputs, a few of them one after another.
constexpr double kBf16 = 2e-2;

template <class C, int kChunks>
void expect_tiled(const Problem& problem) {
  SCOPED_TRACE(testing::PrintToString(problem));
  Attention<C> attention(problem, kTileQueries);
  const int stride = attention.stride();
  run(&finish_heads<C>, {blocks(attention.tokens()), kFinishWarps * kWarp, 0}, attention.step(),
      attention.device_heads(), attention.cache(), attention.qkv());
  expect_cache(attention);
  Array<float> attended(static_cast<std::size_t>(attention.tokens() * attention.attended_stride()));
  Array<float> first_token(static_cast<std::size_t>(attention.tokens() * attention.heads()));
  run(&attend_tile<C, float, kChunks>,
      {blocks(attention.tile_count(), attention.heads()), kTileQueries * kWarp,
       static_cast<std::size_t>(tiled_attention_floats(stride)) * sizeof(float)},
      attention.tiles(), attention.device_heads(), attention.cache(), attention.qkv(), attended.data(),
      attention.attended_stride(), first_token.data());
  std::vector<float> expected_first;
  const double tolerance = sizeof(C) == 2 ? kBf16 : 1e-5;
  expect_near(attended.read(), attention.expected(expected_first), tolerance, "attended");
  expect_near(first_token.read(), expected_first, tolerance, "mass of the first token");
}

template <class X, int kWidth>
void expect_mma(const Problem& problem) {
  SCOPED_TRACE(testing::PrintToString(problem));
  Attention<Bf16> attention(problem, mma_queries(kWidth));
  run(&finish_heads<Bf16>, {blocks(attention.tokens()), kFinishWarps * kWarp, 0}, attention.step(),
      attention.device_heads(), attention.cache(), attention.qkv());
  Array<X> attended(static_cast<std::size_t>(attention.tokens() * attention.attended_stride()));
  Array<float> first_token(static_cast<std::size_t>(attention.tokens() * attention.heads()));
  run(&attend_mma<X, kWidth>,
      {blocks(attention.tile_count(), attention.heads()), kMmaAttentionThreads,
       static_cast<std::size_t>(mma_attention_bytes<kWidth>())},
      attention.tiles(), attention.device_heads(), attention.cache(), attention.qkv(), attended.data(),
      attention.attended_stride(), first_token.data());
  std::vector<float> expected_first;
  expect_near(widened(attended.read()), attention.expected(expected_first), kBf16, "attended");
  expect_near(first_token.read(), expected_first, kBf16, "mass of the first token");
}

/// One token a chunk; `splits` pieces of the context.
template <class C, class X, int kHeads>
void expect_decode(const Problem& problem, int splits) {
  SCOPED_TRACE(testing::PrintToString(problem) + ", " + std::to_string(splits) + " pieces");
  Attention<C> attention(problem, 1);
  const int tokens = attention.tokens();
  const int heads = attention.heads();
  const int stride = attention.stride();
  const auto pieces = static_cast<std::size_t>(tokens * heads * splits);
  Array<float> out(pieces * static_cast<std::size_t>(stride)), stats(3 * pieces);
  Array<unsigned> arrived(std::vector<unsigned>(static_cast<std::size_t>(tokens * problem.kv_heads)));
  Array<float> first_token(static_cast<std::size_t>(tokens * heads));
  Array<X> attended(static_cast<std::size_t>(tokens * attention.attended_stride()));
  const Shape shape{blocks(problem.kv_heads, splits, tokens + 1), kDecodeAttentionThreads,
                    decode_attention_bytes<C>(problem.group, stride)};
  ASSERT_LE(decode_heads(problem.group, stride), kHeads);
  run(&attend_token<C, X, kHeads>, shape, attention.step(), attention.device_heads(), attention.cache(),
      attention.qkv(), AttentionPieces{out.data(), stats.data(), arrived.data(), first_token.data()},
      attended.data(), attention.attended_stride());
  expect_cache(attention);
  std::vector<float> expected_first;
  const double tolerance = sizeof(C) == 2 || sizeof(X) == 2 ? kBf16 : 1e-5;
  expect_near(widened(attended.read()), attention.expected(expected_first), tolerance, "attended");
  expect_near(first_token.read(), expected_first, tolerance, "mass of the first token");
  EXPECT_EQ(arrived.read(), std::vector<unsigned>(static_cast<std::size_t>(tokens * problem.kv_heads)))
      << "counters are zero again";
}

/// A prompt, the middle of one, single tokens, three sequences.
const std::vector<Chunk> kMixed = {{0, 0, 9}, {2, 15, 3}, {1, 65, 1}};

TEST(TiledAttention, TakesEveryHeadSize) {
  expect_tiled<float, 2>({2, 1, 1, kMixed});
  expect_tiled<float, 2>({12, 2, 2, kMixed, false});
  expect_tiled<float, 2>({16, 3, 1, kMixed});
  expect_tiled<float, 2>({64, 1, 3, kMixed});
  expect_tiled<float, 4>({80, 1, 2, kMixed});
  expect_tiled<float, 4>({96, 1, 1, kMixed});
  expect_tiled<float, 4>({128, 1, 1, kMixed});
  expect_tiled<float, 8>({256, 1, 1, {{0, 0, 9}}});
}

TEST(TiledAttention, SeesEverythingBeforeATokenAndNothingBehindIt) {
  for (const int start : {0, 1, 15, 31, 32, 63, 64, 65, 300})
    expect_tiled<float, 2>({16, 1, 2, {{1, start, 10}}});
}

TEST(MmaAttention, TakesEveryHeadSize) {
  expect_mma<Bf16, 32>({2, 1, 1, kMixed});
  expect_mma<float, 32>({12, 2, 2, kMixed, false});
  expect_mma<Bf16, 32>({16, 3, 1, kMixed});
  expect_mma<Bf16, 64>({64, 1, 3, kMixed});
  expect_mma<Bf16, 128>({80, 1, 2, kMixed});
  expect_mma<Bf16, 128>({96, 1, 1, kMixed});
  expect_mma<float, 128>({128, 1, 1, kMixed});
  expect_mma<Bf16, 256>({256, 1, 1, {{0, 0, 9}}});
}

TEST(MmaAttention, SeesEverythingBeforeATokenAndNothingBehindIt) {
  for (const int start : {0, 1, 15, 63, 64, 65, 300})
    expect_mma<Bf16, 32>({16, 1, 2, {{1, start, 17}}});
  expect_mma<Bf16, 32>({16, 1, 1, {{0, 0, 130}}});
}

TEST(DecodeAttention, TakesEveryHeadSizeAndGroup) {
  expect_decode<float, float, 1>({2, 2, 1, {{0, 70, 1}}}, 3);
  expect_decode<float, float, 1>({12, 1, 16, {{0, 70, 1}}, false}, 2);
  expect_decode<float, float, 1>({16, 3, 2, {{0, 70, 1}}}, 4);
  expect_decode<Bf16, float, 2>({64, 1, 12, {{0, 70, 1}}}, 3);
  expect_decode<Bf16, Bf16, 4>({80, 1, 16, {{0, 70, 1}}}, 1);
  expect_decode<float, float, 1>({96, 2, 5, {{0, 70, 1}}}, 2);
  expect_decode<Bf16, Bf16, 2>({128, 1, 8, {{0, 70, 1}}}, 2);
  expect_decode<float, float, 8>({256, 1, 16, {{0, 5, 1}}}, 2);
}

TEST(DecodeAttention, SplitsContextsOfEveryLength) {
  for (const int position : {0, 1, 15, 16, 31, 32, 63, 64, 65, 300, 1100}) {
    for (const int splits : {1, 2, 7, 32}) {
      expect_decode<float, float, 1>({12, 1, 3, {{1, position, 1}}}, splits);
      expect_decode<Bf16, Bf16, 1>({16, 2, 4, {{1, position, 1}}}, splits);
    }
  }
}

TEST(DecodeAttention, RunsSequencesOfDifferentLengthsTogether) {
  expect_decode<float, float, 1>({16, 2, 2, {{2, 100, 1}, {0, 0, 1}, {1, 64, 1}}}, 5);
}

}  // namespace
}  // namespace expertscope::cuda
