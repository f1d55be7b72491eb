// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/engine/cuda/backend_fixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/cuda/cuda_backend.h"
#include "engine/run/routing_policy.h"
#include "tests/support/random_model.h"
#include "tests/support/stored_weights.h"

namespace expertscope::cuda {
namespace {

using parity::SequenceRecord;

/// The model whose weights these were, and those that changed their type.
struct Storage {
  std::shared_ptr<const Model> from;
  std::vector<std::vector<std::uint8_t>> matrices;
};

void convert(Matrix& matrix, FormatId type, Storage& storage) {
  if (matrix.data == nullptr || type == FormatId::f32) return;
  const auto count = static_cast<std::size_t>(matrix.rows * matrix.cols);
  std::vector<std::uint8_t>& bytes = storage.matrices.emplace_back(testing::stored_bytes(count, type));
  testing::store_values(static_cast<const float*>(matrix.data), count, type, bytes.data());
  matrix.data = bytes.data();
  matrix.format = &weight_format(type);
}

std::vector<Matrix*> matrices_of(Weights& weights) {
  std::vector<Matrix*> all = {&weights.embed_tokens, &weights.lm_head};
  const auto add_mlp = [&](MlpWeights& mlp) {
    all.insert(all.end(), {&mlp.gate_proj, &mlp.up_proj, &mlp.down_proj});
  };
  for (LayerWeights& layer : weights.layers) {
    all.insert(all.end(), {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj, &layer.router});
    for (MlpWeights& expert : layer.experts)
      add_mlp(expert);
    add_mlp(layer.mlp);
    add_mlp(layer.shared);
    all.push_back(&layer.shared_gate);
  }
  return all;
}

Vector bias(std::int64_t size, int seed) {
  Vector values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 0.1f * static_cast<float>((i * 7 + static_cast<std::size_t>(seed)) % 11) - 0.5f;
  return values;
}

void add_biases(Weights& weights) {
  for (LayerWeights& layer : weights.layers) {
    layer.q_bias = bias(layer.q_proj.rows, 1);
    layer.k_bias = bias(layer.k_proj.rows, 2);
    layer.v_bias = bias(layer.v_proj.rows, 3);
    layer.o_bias = bias(layer.o_proj.rows, 4);
  }
}

class Sink final : public CaptureSink {
 public:
  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    blocks.push_back(std::move(block));
    return {};
  }
  std::vector<std::unique_ptr<CaptureBlock>> blocks;
};

/// The same bits, NaN included, where both have the array.
template <class T>
void expect_bits(const std::vector<T>& actual, const std::vector<T>& expected, const char* what) {
  if (actual.empty() || expected.empty()) return;
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_EQ(std::memcmp(&actual[i], &expected[i], sizeof(T)), 0)
        << what << " " << i << ": " << actual[i] << " instead of " << expected[i];
}

void expect_same_block(const CaptureBlock& actual, const CaptureBlock& expected) {
  for_each_column(
      [](const ProbeColumn& column, const auto& a, const auto& b) { expect_bits(a, b, column.name); }, actual,
      expected);
}

void expect_close(const std::vector<float>& actual, const std::vector<float>& expected, MathMode math,
                  const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double largest = 0;
  double worst = 0;
  double squares = 0;
  double difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::isnan(actual[i]), std::isnan(expected[i])) << what << " " << i;
    if (std::isnan(expected[i])) continue;  // a log-probability that is not known
    const double apart = std::abs(static_cast<double>(actual[i]) - expected[i]);
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    worst = std::max(worst, apart);
    squares += static_cast<double>(expected[i]) * expected[i];
    difference += apart * apart;
  }
  if (math == MathMode::f32)
    EXPECT_LE(worst, 1e-4 * largest) << what;
  else
    EXPECT_LE(difference, 5e-2 * 5e-2 * squares) << what;
}

void expect_close(const std::vector<std::vector<float>>& actual,
                  const std::vector<std::vector<float>>& expected, MathMode math, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i)
    expect_close(actual[i], expected[i], math, what + " of layer " + std::to_string(i));
}

void expect_agreement(const SequenceRecord& actual, const SequenceRecord& expected, MathMode math) {
  expect_close(actual.embedding, expected.embedding, math, "embedding");
  expect_close(actual.hidden, expected.hidden, math, "hidden");
  expect_close(actual.logits, expected.logits, math, "logits");
  expect_close(actual.log_prob, expected.log_prob, math, "log_prob");
  expect_close(actual.hidden_max, expected.hidden_max, math, "hidden_max");
  expect_close(actual.first_token, expected.first_token, math, "first_token_attention");
  expect_close(actual.router_logits, expected.router_logits, math, "router_logits");
  expect_close(actual.entropy, expected.entropy, math, "entropy");
  expect_close(actual.probability, expected.probability, math, "probability");
  // In bf16 two experts that are nearly equal may change places, and with them everything of their slots.
  if (math == MathMode::bf16 && actual.expert != expected.expert) return;
  EXPECT_EQ(actual.expert, expected.expert);
  expect_close(actual.weight, expected.weight, math, "weight");
  expect_close(actual.output_norm, expected.output_norm, math, "output_norm");
  expect_close(actual.output_max, expected.output_max, math, "output_max");
  expect_close(actual.contribution, expected.contribution, math, "contribution");
  expect_close(actual.shared_norm, expected.shared_norm, math, "shared_norm");
  expect_close(actual.shared_max, expected.shared_max, math, "shared_max");
  if (math == MathMode::bf16) return;
  EXPECT_EQ(actual.output_channel, expected.output_channel);
  EXPECT_EQ(actual.shared_channel, expected.shared_channel);
  EXPECT_EQ(actual.hidden_channel, expected.hidden_channel);
}

}  // namespace

ModelShape odd_config() {
  ModelShape c = testing::tiny_config();
  c.vocab_size = 53;
  c.hidden_size = 37;
  c.num_attention_heads = 3;
  c.num_key_value_heads = 3;
  c.head_dim = 12;
  c.intermediate_size = 33;
  c.num_experts = 5;
  c.num_experts_per_tok = 2;
  c.moe_intermediate_size = 20;
  return c;
}

std::shared_ptr<const Model> make_model(const ModelShape& config, const Types& types,
                                        const std::function<void(Weights&)>& change) {
  auto storage = std::make_shared<Storage>();
  storage->from = testing::random_model(config, FormatId::f32);
  Weights weights = storage->from->weights();
  std::size_t next = 0;
  for (Matrix* matrix : matrices_of(weights))
    convert(*matrix, types[next++ % types.size()], *storage);
  if (config.tie_word_embeddings) weights.lm_head = weights.embed_tokens;
  if (config.attention_bias) add_biases(weights);
  if (change) change(weights);
  return Model::from_memory(config, std::move(weights), std::move(storage));
}

BackendOptions small_options(MathMode math) {
  BackendOptions options;
  options.math = math;
  options.threads = 1;
  options.max_sequences = 6;
  options.max_context = 96;
  options.max_batch = 48;
  return options;
}

BackendOptions many_sequences(MathMode math) {
  BackendOptions options = small_options(math);
  options.max_sequences = 70;
  options.max_context = 16;
  options.max_batch = 72;
  return options;
}

Counts one_each(int sequences) {
  Counts counts;
  for (int sequence = 0; sequence < sequences; ++sequence)
    counts[sequence] = 1;
  return counts;
}

Result<std::unique_ptr<Session>> open_cuda(std::shared_ptr<const Model> model, const BackendOptions& options,
                                           const OpenProgress& progress, const std::stop_token& stop) {
  BackendOptions cuda = options;
  cuda.choice.kind = BackendKind::cuda;
  auto backend = make_cuda_backend(model, cuda, "emulated", progress, stop);
  if (!backend) return forward_error(backend);
  return Session::create(std::move(model), cuda, std::move(*backend));
}

Result<std::unique_ptr<Session>> open_cpu(std::shared_ptr<const Model> model, BackendOptions options) {
  options.choice.kind = BackendKind::cpu;
  return Session::create(std::move(model), options);
}

std::unique_ptr<Session> must(Result<std::unique_ptr<Session>> session) {
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

const std::vector<Counts>& all_kinds_of_steps() {
  static const std::vector<Counts> steps = {
      {{0, 19}},
      {{0, 1}},
      {{1, 5}, {2, 1}},
      {{0, 1}, {1, 1}},
      {{0, 1}, {1, 1}, {2, 1}},
      {{3, 1}, {4, 2}, {5, 1}},
      {{0, 1}, {2, 1}, {3, 1}, {4, 1}},
      {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}},
      {{0, 3}, {1, 1}, {5, 9}},
      {{5, 1}},
  };
  return steps;
}

Batch next_batch(const Session& session, const Counts& counts, LogitsWanted wanted) {
  Batch batch;
  batch.logits = wanted;
  const int vocab = session.model().config().vocab_size;
  for (const auto& [sequence, count] : counts) {
    const int start = session.length(sequence);
    for (int t = start; t < start + count; ++t)
      batch.tokens.push_back((sequence * 31 + t * 17 + 11) % vocab);
    batch.chunks.push_back({sequence, start, count});
  }
  return batch;
}

Watched watch(Session& session, const std::vector<Counts>& steps, const CaptureRequest& request) {
  Watched watched;
  Sink sink;
  session.set_capture(request, request.any() ? &sink : nullptr);
  for (const Counts& counts : steps) {
    const auto logits = session.step(next_batch(session, counts));
    EXPECT_TRUE(logits) << (logits ? "" : logits.error().message);
    if (!logits) break;
    watched.logits.emplace_back(logits->begin(), logits->end());
  }
  session.set_capture({}, nullptr);
  watched.blocks = std::move(sink.blocks);
  return watched;
}

void expect_identical(const Watched& actual, const Watched& expected) {
  ASSERT_EQ(actual.logits.size(), expected.logits.size());
  for (std::size_t i = 0; i < expected.logits.size(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    expect_bits(actual.logits[i], expected.logits[i], "logits");
    if (i < actual.blocks.size() && i < expected.blocks.size())
      expect_same_block(*actual.blocks[i], *expected.blocks[i]);
  }
}

std::map<int, SequenceRecord> record(Session& session, const std::vector<Counts>& steps) {
  parity::Recording recording(session, parity::all_probes());
  std::map<int, SequenceRecord> records;
  for (const Counts& counts : steps) {
    const Batch batch = next_batch(session, counts);
    std::map<int, std::vector<std::int32_t>> chunks;
    auto first = batch.tokens.begin();
    for (const auto& [sequence, count] : counts) {
      chunks[sequence].assign(first, first + count);
      first += count;
    }
    const Status ok = recording.step(chunks);
    EXPECT_TRUE(ok) << (ok ? "" : ok.error().message);
    for (const auto& [sequence, count] : counts)
      records[sequence] = {};
  }
  for (auto& [sequence, of_sequence] : records)
    of_sequence = recording.sequence(sequence);
  return records;
}

void expect_agreement(const std::map<int, SequenceRecord>& actual,
                      const std::map<int, SequenceRecord>& expected, MathMode math) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [sequence, of_sequence] : expected) {
    SCOPED_TRACE("sequence " + std::to_string(sequence));
    expect_agreement(actual.at(sequence), of_sequence, math);
  }
}

std::shared_ptr<const RoutingTable> table_of(const std::string& json, const ModelConfig& config) {
  const auto policy = RoutingPolicy::from_json(json, "policy");
  EXPECT_TRUE(policy) << (policy ? "" : policy.error().message);
  const auto table = policy->compile(config);
  EXPECT_TRUE(table) << (table ? "" : table.error().message);
  return table ? *table : nullptr;
}

}  // namespace expertscope::cuda
