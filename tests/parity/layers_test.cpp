// SPDX-License-Identifier: GPL-3.0-or-later
// One decoder layer for each feature of a LayerSpec against plain torch in float64: every intermediate that
// tests/data/make_layer_goldens.py names, every choice of the router and the logits; the text in one step,
// and in a chunk and single tokens.
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <string>

#include "tests/parity/golden.h"
#include "tests/parity/record.h"
#include "tests/parity/session.h"

namespace expertscope::parity {
namespace {

constexpr double kTolerance = 1e-5;  // of the largest magnitude
constexpr int kHidden = 8;
constexpr int kVocab = 12;

std::filesystem::path layers_folder() {
  return data_folder() / "golden" / "layers";
}

nlohmann::json all_specs() {
  return read_json(layers_folder() / "layers.json");
}

MlpSpec mlp_spec(const nlohmann::json& spec, const char* width) {
  MlpSpec mlp;
  mlp.width = spec[width];
  const std::string activation = spec["activation"];
  mlp.activation = activation == "relu_squared" ? Activation::relu_squared
                   : activation == "gelu_tanh"  ? Activation::gelu_tanh
                                                : Activation::silu;
  mlp.gated = spec["gated"];
  mlp.alpha = spec["alpha"];
  mlp.clamp = spec["clamp"];
  mlp.up_offset = spec["up_offset"];
  mlp.biases = spec["biases"];
  return mlp;
}

AttentionSpec attention_spec(const nlohmann::json& spec) {
  AttentionSpec attention;
  attention.heads = spec["heads"];
  attention.kv_heads = spec["kv_heads"];
  attention.head_dim = spec["head_dim"];
  attention.rotary.width = spec["rotary_width"];
  attention.rotary.interleaved = spec["interleaved"];
  attention.rotary.theta = spec["theta"];
  attention.qk_norm = spec["qk_norm"] == "head"    ? AttentionSpec::QkNorm::head
                      : spec["qk_norm"] == "whole" ? AttentionSpec::QkNorm::whole
                                                   : AttentionSpec::QkNorm::none;
  attention.qkv_bias = attention.output_bias = spec["bias"];
  attention.window = spec["window"];
  attention.soft_cap = spec["soft_cap"];
  attention.sinks = spec["sinks"];
  attention.gate = spec["gate"] == "none"   ? 0
                   : spec["gate"] == "head" ? attention.heads
                                            : attention.query_width();
  return attention;
}

RouterSpec router_spec(const nlohmann::json& spec) {
  RouterSpec router;
  router.experts = spec["experts"];
  if (router.experts == 0) return router;
  router.top_k = spec["top_k"];
  router.score = spec["score"] == "sigmoid"             ? RouterSpec::Score::sigmoid
                 : spec["score"] == "softmax_of_chosen" ? RouterSpec::Score::softmax_of_chosen
                                                        : RouterSpec::Score::softmax;
  router.bias = spec["router_bias"];
  router.correction_bias = spec["correction_bias"];
  router.groups = spec["groups"];
  router.top_groups = spec["top_groups"];
  router.group_rank =
      spec["group_rank"] == "maximum" ? RouterSpec::GroupRank::maximum : RouterSpec::GroupRank::sum_of_two;
  router.renormalise = spec["renormalise"];
  router.renormalise_epsilon = spec["renormalise_epsilon"];
  router.scale = spec["scale"];
  router.weighs_input = spec["weighs_input"];
  router.input_norm = spec["input_norm"];
  return router;
}

ModelConfig config_of(const nlohmann::json& spec) {
  LayerSpec layer;
  layer.norm.kind = spec["norm"] == "layer" ? NormSpec::Kind::layer : NormSpec::Kind::rms;
  layer.norm.eps = spec["eps"];
  layer.norm_before = spec["norm_before"];
  layer.norm_after = spec["norm_after"];
  layer.attention = attention_spec(spec);
  layer.router = router_spec(spec);
  if (layer.is_moe()) layer.expert = mlp_spec(spec, "width");
  layer.shared = mlp_spec(spec, "shared_width");
  layer.shared_gate = spec["shared_gate"];
  layer.dense = mlp_spec(spec, "dense_width");
  ModelConfig config;
  config.vocab_size = kVocab;
  config.hidden_size = kHidden;
  config.max_position_embeddings = 64;
  config.norm = layer.norm;
  config.layers = {layer};
  return config;
}

/// The "w." tensors of a case. What a file does not have stays empty.
class WeightReader {
 public:
  explicit WeightReader(const GoldenFile& file) : file_(file) {}

  Vector vector(const std::string& name) const {
    return file_.has("w." + name) ? file_.floats("w." + name) : Vector{};
  }
  Matrix matrix(const std::string& name) {
    if (!file_.has("w." + name)) return {};
    const auto& values = storage_->emplace_back(file_.floats("w." + name));
    const std::int64_t cols = file_.columns("w." + name);
    return {values.data(), &weight_format(FormatId::f32), static_cast<std::int64_t>(values.size()) / cols,
            cols};
  }
  MlpWeights mlp(const std::string& name) {
    return {matrix(name + ".gate_proj"), matrix(name + ".up_proj"), matrix(name + ".down_proj"),
            vector(name + ".gate_bias"), vector(name + ".up_bias"), vector(name + ".down_bias")};
  }
  LayerWeights layer(int experts) {
    LayerWeights layer;
    layer.input_layernorm = vector("input_layernorm");
    layer.input_layernorm_bias = vector("input_layernorm_bias");
    layer.q_proj = matrix("q_proj");
    layer.k_proj = matrix("k_proj");
    layer.v_proj = matrix("v_proj");
    layer.o_proj = matrix("o_proj");
    layer.q_bias = vector("q_bias");
    layer.k_bias = vector("k_bias");
    layer.v_bias = vector("v_bias");
    layer.o_bias = vector("o_bias");
    layer.q_norm = vector("q_norm");
    layer.k_norm = vector("k_norm");
    layer.sinks = vector("sinks");
    layer.attention_gate = matrix("attention_gate");
    layer.attention_post_norm = vector("attention_post_norm");
    layer.attention_post_norm_bias = vector("attention_post_norm_bias");
    layer.post_attention_layernorm = vector("post_attention_layernorm");
    layer.post_attention_layernorm_bias = vector("post_attention_layernorm_bias");
    layer.router_norm = vector("router_norm");
    layer.router = matrix("router");
    layer.router_bias = vector("router_bias");
    layer.correction_bias = vector("correction_bias");
    for (int e = 0; e < experts; ++e)
      layer.experts.push_back(mlp("experts." + std::to_string(e)));
    layer.shared = mlp("shared");
    layer.shared_gate = matrix("shared_gate");
    layer.mlp = mlp("dense");
    layer.mlp_post_norm = vector("mlp_post_norm");
    layer.mlp_post_norm_bias = vector("mlp_post_norm_bias");
    return layer;
  }
  std::shared_ptr<const void> storage() const { return storage_; }

 private:
  const GoldenFile& file_;
  std::shared_ptr<std::vector<std::vector<float>>> storage_ =
      std::make_shared<std::vector<std::vector<float>>>();
};

std::shared_ptr<const Model> model_of(const nlohmann::json& spec, const GoldenFile& file) {
  ModelConfig config = config_of(spec);
  WeightReader reader(file);
  Weights weights;
  weights.embed_tokens = reader.matrix("embed_tokens");
  weights.layers.push_back(reader.layer(config.layers[0].router.experts));
  weights.norm = reader.vector("norm");
  weights.norm_bias = reader.vector("norm_bias");
  weights.lm_head = reader.matrix("lm_head");
  return Model::from_memory(std::move(config), std::move(weights), reader.storage());
}

/// Every intermediate by its name, of all steps behind each other, and the probes of the last layer.
class Everything final : public TensorObserver, public CaptureSink {
 public:
  void observe(const char* name, int, std::span<const float> values, int) override {
    auto& all = seen[name];
    all.insert(all.end(), values.begin(), values.end());
  }
  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    expert.insert(expert.end(), block->expert.begin(), block->expert.end());
    weight.insert(weight.end(), block->weight.begin(), block->weight.end());
    norm.insert(norm.end(), block->output_norm.begin(), block->output_norm.end());
    contribution.insert(contribution.end(), block->contribution.begin(), block->contribution.end());
    first.insert(first.end(), block->first_token_attention.begin(), block->first_token_attention.end());
    return {};
  }

  bool names_all = false;  ///< the reference, or the plain path of CUDA
  std::vector<float> logits;
  std::map<std::string, std::vector<float>> seen;
  std::vector<std::int32_t> expert;
  std::vector<float> weight, norm, contribution, first;
};

class Layers : public testing::TestWithParam<std::string> {
 protected:
  Layers() : file_(layers_folder() / (GetParam() + ".safetensors")) {}

  void run(const std::vector<int>& sizes, Everything& everything) {
    BackendOptions options;
    options.math = MathMode::f32;
    options.threads = 1;
    options.max_context = 16;
    options.max_batch = 16;
    auto session = open_session(model_of(all_specs()[GetParam()], file_), options);
    ASSERT_TRUE(session) << session.error().message;
    everything.names_all = (*session)->backend_info().always_f32;
    (*session)->set_capture(all_probes(), &everything);
    (*session)->backend().set_observer(&everything);
    const auto ids = file_.ints("ids");
    auto next = ids.begin();
    for (const int size : sizes) {
      Batch batch{{next, next + size}, {{0, 0, size}}, LogitsWanted::all};
      next += size;
      const auto logits = (*session)->step(std::move(batch));
      ASSERT_TRUE(logits) << logits.error().message;
      everything.logits.insert(everything.logits.end(), logits->begin(), logits->end());
    }
    ASSERT_EQ(next, ids.end());
  }

  void expect_everything(const Everything& actual) const {
    expect_close(actual.logits, file_.floats("out.logits"), kTolerance, "logits");
    for (const char* name : {"embedding",
                             "attn_norm",
                             "q",
                             "k",
                             "v",
                             "q_norm",
                             "k_norm",
                             "q_rotary",
                             "k_rotary",
                             "attn_heads",
                             "attn_gate",
                             "attn_out",
                             "attn_post_norm",
                             "attn_hidden",
                             "ffn_norm",
                             "router_norm",
                             "router_logits",
                             "expert_weight",
                             "expert_down",
                             "expert_sum",
                             "shared_down",
                             "shared_weight",
                             "dense_down",
                             "ffn_out",
                             "ffn_post_norm",
                             "hidden",
                             "norm",
                             "logits"}) {
      const auto seen = actual.seen.find(name);
      if (actual.names_all) {
        ASSERT_EQ(seen != actual.seen.end(), file_.has(std::string("out.") + name)) << name;
      }
      if (seen == actual.seen.end()) continue;
      expect_close(seen->second, file_.floats(std::string("out.") + name), kTolerance, name);
    }
  }

  void expect_probes(const Everything& actual) const {
    expect_close(actual.first, file_.floats("out.first_token_attention"), kTolerance,
                 "first_token_attention");
    if (!file_.has("out.expert")) return;
    EXPECT_EQ(actual.expert, file_.ints("out.expert"));
    expect_close(actual.weight, file_.floats("out.expert_weight"), kTolerance, "weight");
    expect_close(actual.contribution, file_.floats("out.contribution"), kTolerance, "contribution");
    const auto outputs = file_.floats("out.expert_down");
    std::vector<float> norms;
    for (std::size_t first = 0; first < outputs.size(); first += kHidden) {
      double squares = 0;
      for (std::size_t i = first; i < first + kHidden; ++i)
        squares += static_cast<double>(outputs[i]) * outputs[i];
      norms.push_back(static_cast<float>(std::sqrt(squares)));
    }
    expect_close(actual.norm, norms, kTolerance, "output_norm");
  }

  GoldenFile file_;
};

TEST_P(Layers, GiveWhatTorchGives) {
  Everything actual;
  run({9}, actual);
  if (HasFatalFailure()) return;
  expect_everything(actual);
  expect_probes(actual);
}

TEST_P(Layers, GiveTheSameTokenByToken) {
  Everything whole;
  Everything cut;
  run({9}, whole);
  run({4, 1, 1, 3}, cut);
  if (HasFatalFailure()) return;
  if (whole.names_all) {  // to the bit
    EXPECT_EQ(cut.seen, whole.seen);
  }
  expect_everything(cut);
  expect_probes(cut);
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  const nlohmann::json specs = all_specs();
  for (const auto& [name, spec] : specs.items())
    names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Features, Layers, testing::ValuesIn(names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace expertscope::parity
