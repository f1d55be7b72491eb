// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/probes/synthetic.h"

#include <algorithm>
#include <cstdlib>

namespace expertscope::testing {
namespace {

// Some number in [0, 1) that differs from cell to cell, in whole 1024ths: what is made of it below has no
// more bits than a trace keeps of a number that it rounds.
float noise(int a, int b, int c) {
  auto x = static_cast<std::uint32_t>(a) * 2654435761u ^ static_cast<std::uint32_t>(b) * 40503u ^
           static_cast<std::uint32_t>(c) * 2246822519u;
  x ^= x >> 15;
  x *= 2246822519u;
  x ^= x >> 13;
  return static_cast<float>(x & 0x3ffu) / 1024.0f;
}

}  // namespace

// Not an initialiser of the member: g++ 12 warns about a temporary of its own there.
Shape::Shape() : moe_layer(3, 1) {
  moe_layer[1] = 0;
}
int Shape::moe_layers() const {
  return static_cast<int>(std::count(moe_layer.begin(), moe_layer.end(), 1));
}

RunInfo run_info(const Shape& shape, const CaptureRequest& probes) {
  RunInfo info;
  info.kind = "profile";
  info.model = {"/models/synthetic", "synthetic", "c0ffee", 42, 123456};
  info.architecture = "Qwen3MoeForCausalLM";
  info.layers = static_cast<int>(shape.moe_layer.size());
  info.experts = shape.experts;
  info.top_k = shape.slots;
  info.hidden_size = shape.hidden_size;
  info.moe_layer = shape.moe_layer;
  info.shared_layer = shape.shared_layer;
  info.program_version = "0.1.0";
  info.backend = "CPU f32 (test)";
  info.backend_reason = "asked for";
  info.math = "f32";
  info.dataset = "data.txt";
  info.dataset_sha256 = "da7a";
  info.probes = probes;
  return info;
}

int expert_of(const Shape& shape, int token, int moe_layer, int slot) {
  // Slots of one token differ; the last expert is never used.
  return (token * 3 + moe_layer + slot * 2) % (shape.experts - 1);
}
float weight_of(int token, int moe_layer, int slot) {
  return 0.25f + 0.5f * noise(token, moe_layer, slot);
}
float probability_of(int token, int moe_layer, int slot) {
  return 0.125f * noise(token, moe_layer, slot + 100);
}
float norm_of(int token, int moe_layer, int slot) {
  return 1.0f + noise(token, moe_layer, slot + 200);
}
float output_max_of(int token, int moe_layer, int slot) {
  return 8.0f * noise(token, moe_layer, slot + 300);
}
int channel_of(const Shape& shape, int token, int moe_layer, int slot) {
  return (token + 7 * moe_layer + slot) % shape.hidden_size;
}
float shared_norm_of(int token, int moe_layer) {
  return 2.0f + 2.0f * noise(token, moe_layer, 800);
}
float shared_max_of(int token, int moe_layer) {
  return 16.0f * noise(token, moe_layer, 900);
}
int shared_channel_of(const Shape& shape, int token, int moe_layer) {
  return (3 * token + moe_layer) % shape.hidden_size;
}
float entropy_of(int token, int moe_layer) {
  return 1.0f + noise(token, moe_layer, 400);
}
float hidden_max_of(int token, int layer) {
  return 128.0f * noise(token, layer, 500);
}
float attention_of(int token, int layer) {
  return noise(token, layer, 700);
}
float log_prob_of(int token) {
  return -5.0f * noise(token, 0, 600);
}

namespace {

void fill_shared(const Shape& shape, int first_token, CaptureBlock& block) {
  if (block.shared_max.empty()) return;
  int moe = 0;
  for (std::size_t layer = 0; layer < shape.moe_layer.size(); ++layer) {
    if (shape.moe_layer[layer] == 0) continue;
    for (int t = 0; shape.shared_layer[layer] != 0 && t < block.tokens; ++t) {
      const auto at = static_cast<std::size_t>(moe * block.tokens + t);
      block.shared_norm[at] = shared_norm_of(first_token + t, moe);
      block.shared_max[at] = shared_max_of(first_token + t, moe);
      block.shared_channel[at] = shared_channel_of(shape, first_token + t, moe);
    }
    ++moe;
  }
}

}  // namespace

std::unique_ptr<CaptureBlock> make_block(const Shape& shape, const CaptureRequest& probes,
                                         const BlockSpec& spec, std::unique_ptr<CaptureBlock> reuse) {
  auto block = reuse != nullptr ? std::move(reuse) : std::make_unique<CaptureBlock>();
  const int layers = static_cast<int>(shape.moe_layer.size());
  block->prepare(probes, {.tokens = spec.tokens,
                          .layers = layers,
                          .moe_layers = shape.moe_layers(),
                          .slots = shape.slots,
                          .experts = shape.experts,
                          .shared = !shape.shared_layer.empty()});
  fill_shared(shape, spec.first, *block);
  const auto tokens = static_cast<std::size_t>(spec.tokens);
  for (std::size_t t = 0; t < tokens; ++t) {
    const int token = spec.first + static_cast<int>(t);
    block->token_id[t] = token % 97;
    block->position[t] = spec.position + static_cast<int>(t);
    block->sequence[t] = spec.sequence;
    if (probes.log_prob) block->log_prob[t] = log_prob_of(token);
    for (int m = 0; m < shape.moe_layers(); ++m) {
      if (probes.entropy) block->entropy[static_cast<std::size_t>(m) * tokens + t] = entropy_of(token, m);
      for (int s = 0; s < shape.slots; ++s) {
        const std::size_t at = block->slot_index(m, static_cast<int>(t), s);
        if (!block->expert.empty()) {
          block->expert[at] = static_cast<std::uint16_t>(expert_of(shape, token, m, s));
        }
        if (probes.routing) {
          block->weight[at] = weight_of(token, m, s);
          block->probability[at] = probability_of(token, m, s);
        }
        if (probes.expert_output) {
          block->output_norm[at] = norm_of(token, m, s);
          block->output_max[at] = output_max_of(token, m, s);
          block->output_channel[at] = channel_of(shape, token, m, s);
        }
      }
      for (int s = 0; probes.contribution && s < shape.slots; ++s)
        block->contribution[block->slot_index(m, static_cast<int>(t), s)] = weight_of(token, m, s);
      for (int e = 0; probes.router_logits && e < shape.experts; ++e) {
        block->router_logits[(static_cast<std::size_t>(m) * tokens + t) *
                                 static_cast<std::size_t>(shape.experts) +
                             static_cast<std::size_t>(e)] = static_cast<float>(token * 10 + e) + 0.5f;
      }
    }
    for (int layer = 0; probes.attention && layer < layers; ++layer)
      block->first_token_attention[static_cast<std::size_t>(layer) * tokens + t] = attention_of(token, layer);
    for (int layer = 0; probes.hidden && layer < layers; ++layer) {
      block->hidden_max[static_cast<std::size_t>(layer) * tokens + t] = hidden_max_of(token, layer);
      block->hidden_channel[static_cast<std::size_t>(layer) * tokens + t] = token % shape.hidden_size;
    }
  }
  return block;
}

std::shared_ptr<const RoutingTable> table_of(const std::string& policy_json) {
  auto table = std::make_shared<RoutingTable>();
  table->policy_json = policy_json;
  return table;
}

std::unique_ptr<TraceReader> open_trace(const std::filesystem::path& file) {
  return value_of(TraceReader::open(file));
}

namespace {

void expect_same_stats(const ExpertStats& a, const ExpertStats& b) {
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.probability_sum, b.probability_sum);
  EXPECT_EQ(a.weight_sum, b.weight_sum);
  EXPECT_EQ(a.norm_sum, b.norm_sum);
  EXPECT_EQ(a.weighted_norm_sum, b.weighted_norm_sum);
  EXPECT_EQ(a.output_max, b.output_max);
  EXPECT_EQ(a.output_channel, b.output_channel);
  EXPECT_EQ(a.output_token, b.output_token);
  EXPECT_EQ(a.first_row_max, b.first_row_max);
  EXPECT_EQ(a.first_row_channel, b.first_row_channel);
  EXPECT_EQ(a.first_row_token, b.first_row_token);
}

}  // namespace

void expect_same_table(const ExpertTable& a, const ExpertTable& b) {
  ASSERT_EQ(a.cells.size(), b.cells.size());
  ASSERT_EQ(a.shared_layer, b.shared_layer);
  EXPECT_EQ(a.tokens, b.tokens);
  for (int layer = 0; layer < a.layers; ++layer) {
    for (int expert = a.first_expert(layer); expert < a.experts; ++expert) {
      SCOPED_TRACE(::testing::Message() << "layer " << layer << ", expert " << expert);
      expect_same_stats(a.at(layer, expert), b.at(layer, expert));
    }
  }
}

}  // namespace expertscope::testing
