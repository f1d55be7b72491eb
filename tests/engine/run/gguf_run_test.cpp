// SPDX-License-Identifier: GPL-3.0-or-later
// A GGUF file computes what the same weights compute as safetensors, and routes as llama.cpp does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "engine/formats/gguf.h"
#include "engine/formats/weight_format.h"
#include "engine/model/tensor_names.h"
#include "engine/run/session.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using testing::ModelFolder;
using Ids = std::vector<std::int32_t>;
namespace fs = std::filesystem;

constexpr int kLayers = 2;
constexpr std::int64_t kExperts = 4;

fs::path file(const std::string& name) {
  return testing::data_folder() / "gguf" / name;
}

/// Tensors for a safetensors file, one after the other.
struct Safetensors {
  Json header = Json::object();
  std::string data;

  void add(const std::string& name, const std::string& format, const std::vector<std::int64_t>& shape,
           std::string_view bytes) {
    header[name] = {
        {"dtype", format}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
  }
};

/// What a tensor of a GGUF file is called by transformers; experts get their numbers elsewhere.
std::map<std::string, std::string> names_in_safetensors() {
  const TensorNames gguf = gguf_tensor_names();
  const TensorNames llama = llama_tensor_names();
  std::map<std::string, std::string> names = {
      {gguf.embed_tokens, llama.embed_tokens}, {gguf.norm, llama.norm}, {gguf.lm_head, llama.lm_head}};
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const auto vector : {&TensorNames::input_layernorm, &TensorNames::post_attention_layernorm,
                              &TensorNames::q_norm, &TensorNames::k_norm})
      names[tensor_name(gguf.*vector, layer)] = tensor_name(llama.*vector, layer);
    for (const auto matrix : {&TensorNames::q_proj, &TensorNames::k_proj, &TensorNames::v_proj,
                              &TensorNames::o_proj, &TensorNames::router})
      names[tensor_name(gguf.*matrix, layer) + ".weight"] = tensor_name(llama.*matrix, layer) + ".weight";
    names[tensor_name(gguf.fused_gate_proj, layer)] = tensor_name(llama.expert.gate_proj, layer, 0);
    names[tensor_name(gguf.fused_up_proj, layer)] = tensor_name(llama.expert.up_proj, layer, 0);
    names[tensor_name(gguf.fused_down_proj, layer)] = tensor_name(llama.expert.down_proj, layer, 0);
  }
  return names;
}

/// A folder with the weights of a GGUF file, each as it is, and a config.json of its own.
void write_folder(const std::string& name, const ModelFolder& folder) {
  const auto model = open_gguf(file(name));
  ASSERT_TRUE(model) << model.error().message;
  const auto names = names_in_safetensors();
  Safetensors safetensors;
  std::int64_t vocabulary = 0;
  bool tied = true;
  for (const SourceTensor& tensor : model->source.tensors) {
    std::string_view bytes(reinterpret_cast<const char*>(tensor.data), tensor.bytes);
    std::string format = tensor.format;
    std::vector<float> widened;
    if (format == "Q8_0") {  // what it stands for, in F32
      format = "F32";
      widened.resize(tensor.bytes / 34 * 32);
      find_weight_format("Q8_0")->dequantise({tensor.data}, 0, std::ssize(widened), widened.data());
      bytes = {reinterpret_cast<const char*>(widened.data()), widened.size() * sizeof(float)};
    }
    std::string target = names.at(tensor.name);
    if (tensor.name == "token_embd.weight") vocabulary = tensor.shape[0];
    if (tensor.name == "output.weight") tied = false;
    if (tensor.shape.size() < 3) {
      safetensors.add(target, format, tensor.shape, bytes);
      continue;
    }
    const auto place = target.find("experts.0.") + 8;
    for (std::size_t e = 0; e < kExperts; ++e) {
      target[place] = static_cast<char>('0' + e);
      const std::size_t size = bytes.size() / kExperts;
      safetensors.add(target + ".weight", format, {tensor.shape[1], tensor.shape[2]},
                      bytes.substr(e * size, size));
    }
  }
  folder.write("model.safetensors", testing::safetensors_bytes(safetensors.header, safetensors.data));
  const Json config = {{"architectures", {"Qwen3MoeForCausalLM"}},
                       {"hidden_size", 32},
                       {"num_hidden_layers", kLayers},
                       {"num_attention_heads", 2},
                       {"num_key_value_heads", 1},
                       {"head_dim", 32},
                       {"intermediate_size", 64},
                       {"moe_intermediate_size", 32},
                       {"num_experts", kExperts},
                       {"num_experts_per_tok", 2},
                       {"norm_topk_prob", true},
                       {"max_position_embeddings", 512},
                       {"rope_theta", 1e6},
                       {"rms_norm_eps", 1e-6},
                       {"vocab_size", vocabulary},
                       {"tie_word_embeddings", tied}};
  folder.write("config.json", config.dump());
}

std::vector<float> logits(const fs::path& path, MathMode math) {
  const auto model = Model::open(path);
  if (!model) {
    ADD_FAILURE() << model.error().message;
    return {};
  }
  BackendOptions options;
  options.math = math;
  options.threads = 2;
  auto session = Session::create(*model, options);
  if (!session) {
    ADD_FAILURE() << session.error().message;
    return {};
  }
  std::vector<float> all;
  Ids ids;
  for (int i = 0; i < 40; ++i)
    ids.push_back((i * 37 + 5) % 64);
  for (const std::size_t count : {1, 39}) {
    const auto last = (*session)->prefill(0, std::span(ids).subspan(all.empty() ? 0 : 1, count));
    if (!last) {
      ADD_FAILURE() << last.error().message;
      return {};
    }
    all.insert(all.end(), last->begin(), last->end());
  }
  return all;
}

class GgufRun : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufRun, GivesTheLogitsOfTheSameWeightsAsSafetensors) {
  const ModelFolder folder;
  ASSERT_NO_FATAL_FAILURE(write_folder(GetParam(), folder));
  for (const MathMode math : {MathMode::f32, MathMode::bf16}) {
    const auto expected = logits(folder.path(), math);
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(logits(file(GetParam()), math), expected);
  }
}

/// Keeps the experts of a whole prompt.
class Experts final : public CaptureSink {
 public:
  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> delivered) override {
    block = std::move(delivered);
    return {};
  }
  std::unique_ptr<CaptureBlock> block;
};

TEST_P(GgufRun, ChoosesTheExpertsThatLlamaCppChooses) {
  const Json golden = Json::parse(testing::read_bytes(file("llama_cpp_routing.json"))).at(GetParam());
  const auto ids = golden.at("ids").get<Ids>();
  const auto model = Model::open(file(GetParam()));
  ASSERT_TRUE(model) << model.error().message;
  for (const MathMode math : {MathMode::f32, MathMode::bf16}) {
    BackendOptions options;
    options.math = math;
    auto session = Session::create(*model, options);
    ASSERT_TRUE(session) << session.error().message;
    Experts sink;
    (*session)->set_capture({.routing = true}, &sink);
    ASSERT_TRUE((*session)->prefill(0, ids));
    ASSERT_NE(sink.block, nullptr);
    ASSERT_EQ(sink.block->tokens, std::ssize(ids));
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int token = 0; token < sink.block->tokens; ++token) {
        const auto expected = golden.at("experts").at(layer).at(token).get<std::vector<std::uint16_t>>();
        for (int slot = 0; slot < std::ssize(expected); ++slot)
          EXPECT_EQ(sink.block->expert[sink.block->slot_index(layer, token, slot)], expected[slot])
              << "layer " << layer << " token " << token;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GgufRun,
                         ::testing::Values("f32.gguf", "bf16.gguf", "f16-00001-of-00002.gguf", "q8_0.gguf"));

}  // namespace
}  // namespace expertscope
