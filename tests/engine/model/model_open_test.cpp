// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/model/model.h"
#include "engine/model/model_loader.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelFolder;
using Json = nlohmann::json;
namespace fs = std::filesystem;

std::shared_ptr<const Model> open(const fs::path& folder) {
  const auto model = Model::open(folder);
  if (!model) ADD_FAILURE() << model.error().message;
  return model ? *model : nullptr;
}

std::shared_ptr<const Model> fixture(const std::string& name) {
  return open(testing::data_folder() / "models" / name);
}

Error refusal(const fs::path& folder) {
  const auto model = Model::open(folder);
  EXPECT_FALSE(model);
  return model ? Error{} : model.error();
}

bool same_bytes(const Matrix& a, const Matrix& b) {
  return a.rows == b.rows && a.cols == b.cols && a.format == b.format &&
         std::memcmp(a.data, b.data, static_cast<std::size_t>(a.rows) * a.row_bytes()) == 0;
}

class EveryFixture : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryFixture, OpensAndIsFinite) {
  const auto model = fixture(GetParam());
  ASSERT_NE(model, nullptr);
  EXPECT_TRUE(model->check_finite());
  const auto& config = model->config();
  ASSERT_EQ(model->weights().layers.size(), static_cast<std::size_t>(config.num_layers()));
  for (int i = 0; i < config.num_layers(); ++i) {
    const auto& layer = model->weights().layers[static_cast<std::size_t>(i)];
    EXPECT_EQ(layer.experts.size(), config.is_moe(i) ? static_cast<std::size_t>(config.num_experts()) : 0u);
    EXPECT_EQ(static_cast<bool>(layer.router), config.is_moe(i));
    EXPECT_EQ(static_cast<bool>(layer.mlp.gate_proj), config.layer(i).dense.width > 0);
    const AttentionSpec& attention = config.layer(i).attention;
    const int normed = attention.qk_norm == AttentionSpec::QkNorm::none   ? 0
                       : attention.qk_norm == AttentionSpec::QkNorm::head ? attention.head_dim
                                                                          : attention.query_width();
    EXPECT_EQ(layer.q_norm.size(), static_cast<std::size_t>(normed));
    EXPECT_EQ((attention.has_latent() ? layer.kv_a_bias : layer.q_bias).empty(), !attention.qkv_bias);
    EXPECT_EQ(layer.latent_keys.size(),
              attention.has_latent() ? static_cast<std::size_t>(attention.heads) : 0u);
  }
  EXPECT_EQ(model->weights().lm_head.data == model->weights().embed_tokens.data, config.tie_word_embeddings);
  EXPECT_EQ(config.tie_word_embeddings, GetParam() == "top2_tied" || GetParam() == "gemma4");
}

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& folder : fs::directory_iterator(testing::data_folder() / "models"))
    names.push_back(folder.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Models, EveryFixture, ::testing::ValuesIn(fixtures()),
                         [](const auto& suite) { return suite.param; });

/// Bytes of a tensor of model.safetensors, read without the code under test.
std::string tensor_bytes(const std::string& model, const std::string& tensor) {
  std::string bytes;
  const ModelFolder folder(model);
  folder.edit_weights([&](Json& header, std::string& data) {
    const auto& offsets = header[tensor]["data_offsets"];
    bytes = data.substr(offsets[0], offsets[1].get<std::size_t>() - offsets[0].get<std::size_t>());
  });
  return bytes;
}

std::string_view matrix_bytes(const Matrix& m) {
  return {static_cast<const char*>(m.data), static_cast<std::size_t>(m.rows) * m.row_bytes()};
}

TEST(ModelOpen, SeparateExpertsAreReadByTheirNames) {
  const auto model = fixture("v5_default");
  ASSERT_NE(model, nullptr);
  const auto& expert = model->weights().layers[1].experts[5];
  const std::string prefix = "model.layers.1.mlp.experts.5.";
  EXPECT_EQ(matrix_bytes(expert.gate_proj), tensor_bytes("v5_default", prefix + "gate_proj.weight"));
  EXPECT_EQ(matrix_bytes(expert.up_proj), tensor_bytes("v5_default", prefix + "up_proj.weight"));
  EXPECT_EQ(matrix_bytes(expert.down_proj), tensor_bytes("v5_default", prefix + "down_proj.weight"));
}

TEST(ModelOpen, FusedExpertsAreGateThenUpForEachExpert) {
  // gate_up_proj[e] is [2 * intermediate, hidden] and is halved into gate and up (Qwen3MoeExperts.forward).
  const auto model = fixture("v5_fused");
  ASSERT_NE(model, nullptr);
  const std::string gate_up = tensor_bytes("v5_fused", "model.layers.1.mlp.experts.gate_up_proj");
  const std::string down = tensor_bytes("v5_fused", "model.layers.1.mlp.experts.down_proj");
  constexpr std::size_t kBytes = 24 * 32 * sizeof(float);
  for (std::size_t e = 0; e < 8; ++e) {
    const auto& expert = model->weights().layers[1].experts[e];
    EXPECT_EQ(matrix_bytes(expert.gate_proj), gate_up.substr(2 * e * kBytes, kBytes)) << e;
    EXPECT_EQ(matrix_bytes(expert.up_proj), gate_up.substr((2 * e + 1) * kBytes, kBytes)) << e;
    EXPECT_EQ(matrix_bytes(expert.down_proj), down.substr(e * kBytes, kBytes)) << e;
    EXPECT_EQ(expert.down_proj.rows, 32);
    EXPECT_EQ(expert.up_proj.rows, 24);
  }
}

TEST(ModelOpen, KnowsWhatItOpened) {
  const auto model = fixture("top2_tied");
  ASSERT_NE(model, nullptr);
  const auto& identity = model->identity();
  EXPECT_EQ(identity.name, "top2_tied");
  EXPECT_EQ(identity.path, (testing::data_folder() / "models" / "top2_tied").string());
  EXPECT_EQ(identity.tensor_count, 101);
  EXPECT_EQ(identity.total_bytes, 571584);
  EXPECT_EQ(identity.config_sha256.size(), 64u);
  EXPECT_NE(identity.config_sha256, fixture("top8")->identity().config_sha256);
  ASSERT_NE(model->tokenizer(), nullptr);
  EXPECT_NE(model->chat_template(), nullptr);
  EXPECT_THAT(model->warnings(), IsEmpty());
}

TEST(ModelOpen, AModelIsNamedByItsFolderOrByItsPlaceInTheCache) {
  EXPECT_EQ(model_name("/models/tiny"), "tiny");
  EXPECT_EQ(model_name("/models/tiny/"), "tiny");
  EXPECT_EQ(model_name("/models/tiny/."), "tiny");
  EXPECT_EQ(model_name("/hub/models--Qwen--Qwen3-30B-A3B/snapshots/0123abcd"), "Qwen/Qwen3-30B-A3B@0123abcd");
  EXPECT_EQ(model_name("/hub/models--org--a--b/snapshots/ff/"), "org/a--b@ff");
  EXPECT_EQ(model_name("/hub/models--solo/snapshots/ff"), "solo@ff");
}

/// Adds a tensor of ones (F32) at the end of model.safetensors.
void add_tensor(const ModelFolder& folder, const std::string& name, const std::vector<std::size_t>& shape) {
  folder.edit_weights([&](Json& header, std::string& data) {
    std::size_t count = 1;
    for (const std::size_t extent : shape)
      count *= extent;
    const std::size_t begin = data.size();
    for (std::size_t i = 0; i < count; ++i)
      data.append("\0\0\x80\x3f", 4);
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
  });
}

TEST(TiedEmbeddings, AnLmHeadThatDiffersIsUsedWithAWarning) {
  const auto model = fixture("tied_own_head");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(matrix_bytes(model->weights().lm_head), tensor_bytes("tied_own_head", "lm_head.weight"));
  EXPECT_EQ(matrix_bytes(model->weights().embed_tokens),
            tensor_bytes("tied_own_head", "model.embed_tokens.weight"));
  ASSERT_EQ(model->result_warnings().size(), 1u);
  EXPECT_THAT(model->result_warnings().front(),
              HasSubstr("config.json: tie_word_embeddings is true, but lm_head.weight and "
                        "model.embed_tokens.weight differ: both are used."));
}

TEST(TiedEmbeddings, AnLmHeadThatIsTheSameIsNoSecondMatrix) {
  const ModelFolder folder("top2_tied");
  const auto embedding = tensor_bytes("top2_tied", "model.embed_tokens.weight");
  folder.edit_weights([&](Json& header, std::string& data) {
    header["lm_head.weight"] = header["model.embed_tokens.weight"];
    header["lm_head.weight"]["data_offsets"] = {data.size(), data.size() + embedding.size()};
    data += embedding;
  });
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->weights().lm_head.data, model->weights().embed_tokens.data);
  EXPECT_TRUE(model->config().tie_word_embeddings);
  EXPECT_THAT(model->warnings(), IsEmpty());
}

TEST(TiedEmbeddings, WhicheverOfTheTwoIsThereIsBoth) {
  const ModelFolder folder("top2_tied");
  folder.edit_weights([](Json& header, std::string&) {
    header["lm_head.weight"] = header["model.embed_tokens.weight"];
    header.erase("model.embed_tokens.weight");
  });
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  const auto bytes = tensor_bytes("top2_tied", "model.embed_tokens.weight");
  EXPECT_EQ(matrix_bytes(model->weights().embed_tokens), bytes);
  EXPECT_EQ(model->weights().lm_head.data, model->weights().embed_tokens.data);
  EXPECT_THAT(model->warnings(), IsEmpty());
}

TEST(UnusedTensors, OneThatWouldChangeTheResultsRefusesTheModel) {
  const auto refused = [](const std::string& name) {
    const ModelFolder folder("top1");
    add_tensor(folder, name, {4});
    return refusal(folder.path()).message;
  };
  EXPECT_THAT(
      refused("model.layers.0.self_attn.q_proj.bias"),
      HasSubstr(
          "model.layers.0.self_attn.q_proj.bias would change the results, but Qwen3MoeForCausalLM has "
          "no use for it as config.json says nothing of biases; config.json does not fit these weights"));
  for (const char* name :
       {"model.layers.1.mlp.shared_expert.up_proj.weight", "model.layers.1.mlp.shared_expert_gate.weight",
        "model.layers.0.mlp.gate.e_score_correction_bias", "model.layers.1.mlp.gate.bias",
        "model.layers.1.input_layernorm.bias", "model.layers.0.mlp.experts.4.up_proj.weight",
        "model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.sinks",
        "model.layers.0.self_attn.q_proj.lora_A.weight", "lm_head.bias", "model.norm.bias"})
    EXPECT_THAT(refused(name), HasSubstr(std::string(name) + " would change the results")) << name;
}

TEST(UnusedTensors, AreFoundWhereAFamilyHasNoNormBeforeAttention) {
  const ModelFolder folder("flex_olmo");
  add_tensor(folder, "model.layers.0.input_layernorm.weight", {4});
  EXPECT_THAT(refusal(folder.path()).message,
              HasSubstr("model.layers.0.input_layernorm.weight would change the results"));
}

TEST(UnusedTensors, OthersAreCountedAndNamed) {
  const ModelFolder folder("top1");
  for (const char* name : {"score.weight", "model.layers.2.mlp.gate.weight", "mtp.fc.weight",
                           "model.layers.0.self_attn.rotary_emb.inv_freq", "visual.patch_embed.weight"})
    add_tensor(folder, name, {4});
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  ASSERT_EQ(model->result_warnings().size(), 1u);
  EXPECT_THAT(model->result_warnings().front(),
              HasSubstr(": 5 of 50 tensors are not used: model.layers.0.self_attn.rotary_emb.inv_freq, "
                        "model.layers.2.mlp.gate.weight, mtp.fc.weight, score.weight and 1 more."));
}

TEST(QuantisedTensors, AreRefusedByTheNameOfTheirKindWhateverTheConfigSays) {
  const auto refused = [](const std::string& suffix) {
    const ModelFolder folder("top1");
    add_tensor(folder, "model.layers.0.self_attn.q_proj" + suffix, {4});
    return refusal(folder.path()).message;
  };
  EXPECT_THAT(
      refused(".qweight"),
      HasSubstr("q_proj.qweight: the weights are quantised (GPTQ or AWQ), but config.json does not say "
                "how"));
  EXPECT_THAT(refused(".weight.absmax"), HasSubstr("quantised (bitsandbytes)"));
  EXPECT_THAT(refused(".scales"), HasSubstr("quantised (MLX)"));
}

TEST(ModelOpen, ReportsProgressAndCanBeCancelledAtEveryStep) {
  std::vector<double> fractions;
  const auto folder = testing::data_folder() / "models" / "sharded";
  ASSERT_TRUE(Model::open(folder, [&](const std::string& what, double fraction) {
    EXPECT_FALSE(what.empty());
    EXPECT_GE(fraction, fractions.empty() ? 0.0 : fractions.back()) << what;
    fractions.push_back(fraction);
  }));
  EXPECT_EQ(fractions.front(), 0.0);
  EXPECT_EQ(fractions.back(), 1.0);
  for (std::size_t step = 0; step + 1 < fractions.size(); ++step) {
    std::stop_source stop;
    std::size_t calls = 0;
    const auto model = Model::open(
        folder,
        [&](const std::string&, double) {
          if (calls++ == step) stop.request_stop();
        },
        stop.get_token());
    ASSERT_FALSE(model) << step;
    EXPECT_EQ(model.error().code, ErrorCode::cancelled);
  }
}

TEST(ModelOpen, AWrongShapeNamesFileTensorAndBothShapes) {
  const ModelFolder folder("top1");
  folder.edit_weights([](Json& header, std::string&) {
    header["model.layers.1.mlp.experts.2.down_proj.weight"]["shape"] = {24, 32};
  });
  EXPECT_EQ(refusal(folder.path()).message, (folder / "model.safetensors").string() +
                                                ": tensor model.layers.1.mlp.experts.2.down_proj.weight has "
                                                "shape [24, 32], but config.json asks for "
                                                "[32, 24]");
  const ModelFolder fused("v5_fused");
  fused.edit_weights([](Json& header, std::string&) {
    header["model.layers.0.mlp.experts.gate_up_proj"]["shape"] = {8, 32, 48};
  });
  EXPECT_THAT(refusal(fused.path()).message,
              HasSubstr("has shape [8, 32, 48], but config.json asks for [8, 48, 32]"));
  const ModelFolder config("top1");
  config.edit_json("config.json", [](Json& c) { c["num_experts"] = 3; });
  EXPECT_THAT(refusal(config.path()).message,
              HasSubstr("mlp.gate.weight has shape [4, 32], but config.json asks for [3, 32]"));
}

TEST(ModelOpen, AMissingTensorIsNamed) {
  const auto without = [](const std::string& name, const std::string& model) {
    const ModelFolder folder(model);
    folder.edit_weights([&](Json& header, std::string&) {
      const Json entry = header[name];
      header.erase(name);
      header["unused"] = entry;
    });
    return refusal(folder.path()).message;
  };
  EXPECT_THAT(without("model.layers.0.mlp.experts.3.up_proj.weight", "top1"),
              HasSubstr("tensor model.layers.0.mlp.experts.3.up_proj.weight [24, 32] is missing"));
  EXPECT_THAT(without("model.norm.weight", "top1"), HasSubstr("tensor model.norm.weight [32] is missing"));
  EXPECT_THAT(without("lm_head.weight", "top1"),
              HasSubstr("lm_head.weight is missing, and config.json says tie"));
  EXPECT_THAT(without("model.layers.0.self_attn.k_proj.bias", "attention_bias"),
              HasSubstr("k_proj.bias [32] is missing"));
  EXPECT_THAT(without("model.layers.1.mlp.experts.down_proj", "v5_fused"),
              HasSubstr("experts.down_proj [8, 32, 24]"));
  EXPECT_THAT(without("model.layers.1.mlp.up_proj.weight", "dense_layer"),
              HasSubstr("mlp.up_proj.weight [64, 32]"));
}

TEST(ModelOpen, AnotherTypeOfWeightIsRefusedByName) {
  const ModelFolder folder("top1");
  folder.edit_weights([](Json& header, std::string&) { header["model.norm.weight"]["dtype"] = "I32"; });
  EXPECT_THAT(refusal(folder.path()).message,
              HasSubstr("tensor model.norm.weight is I32; weights must be one of F32, F16, BF16, Q8_0"));
}

TEST(ModelOpen, DataThatAreNotAlignedAreCopied) {
  const ModelFolder folder("bf16");
  const std::string bytes = testing::read_bytes(folder / "model.safetensors");
  std::string header =
      bytes.substr(8, static_cast<unsigned char>(bytes[0]) + 256u * static_cast<unsigned char>(bytes[1]));
  const std::string data = bytes.substr(8 + header.size());
  header += header.size() % 2 == 0 ? " " : "  ";
  folder.write("model.safetensors", testing::safetensors_bytes(header, data));
  const auto odd = open(folder.path());
  const auto even = fixture("bf16");
  ASSERT_TRUE(odd && even);
  EXPECT_TRUE(same_bytes(odd->weights().embed_tokens, even->weights().embed_tokens));
  EXPECT_TRUE(
      same_bytes(odd->weights().layers[1].experts[3].up_proj, even->weights().layers[1].experts[3].up_proj));
  EXPECT_THAT(odd->warnings().front(), HasSubstr("not aligned in their file and were copied"));
}

TEST(ModelOpen, ADamagedTokenizerRefusesTextOnly) {
  const auto said = [](const char* tokenizer) {
    const ModelFolder folder("top2_tied");
    folder.write("tokenizer.json", tokenizer);
    const auto model = open(folder.path());
    if (model == nullptr || model->warnings().size() != 1) return std::string("not one warning");
    EXPECT_TRUE(model->result_warnings().empty());
    EXPECT_EQ(model->tokenizer(), nullptr);
    EXPECT_EQ(model->require_tokenizer().error().message, model->warnings().front());
    return model->warnings().front();
  };
  EXPECT_THAT(said("{\"model\": 3}"), HasSubstr("tokenizer.json: model: expected an object, found 3"));
  EXPECT_THAT(said("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("this is a Git LFS pointer"));
  EXPECT_THAT(said("<!doctype html>"), HasSubstr("this is a web page"));
  EXPECT_THAT(said("{\"model\": "), HasSubstr("tokenizer.json: not valid JSON"));
}

TEST(ModelOpen, ADamagedGenerationConfigLocksNothing) {
  const ModelFolder folder("top2_tied");
  folder.write("generation_config.json", R"({"temperature": 0.7,})");
  auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  ASSERT_EQ(model->result_warnings().size(), 1u);
  EXPECT_THAT(
      model->result_warnings().front(),
      HasSubstr("generation_config.json: not valid JSON at line 1, column 21; its settings are not used."));
  fs::remove(folder / "generation_config.json");
  fs::create_directory(folder / "generation_config.json");
  model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_THAT(model->result_warnings().front(),
              HasSubstr("generation_config.json: not a regular file; its settings are not used."));
}

TEST(ModelOpen, WhatConcernsTextComesAfterWhatConcernsResults) {
  const ModelFolder folder("top1");
  folder.edit_json("config.json", [](Json& c) { c["model_type"] = "llama"; });
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  ASSERT_EQ(model->result_warnings().size(), 1u);
  EXPECT_THAT(model->result_warnings().front(), HasSubstr("model_type \"llama\" contradicts architectures"));
  EXPECT_THAT(model->warnings().back(), HasSubstr("has no tokenizer.json"));
}

TEST(ModelOpen, WithoutAUsableTokenizerItStillOpensAndSaysWhy) {
  const ModelFolder folder("top2_tied");
  folder.edit_json("tokenizer.json", [](Json& t) { t["model"]["type"] = "Unigram"; });
  auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tokenizer(), nullptr);
  EXPECT_THAT(model->warnings().front(), HasSubstr("\"Unigram\" with a ByteLevel pre-tokenizer"));
  fs::remove(folder / "tokenizer.json");
  model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_THAT(model->warnings().front(), HasSubstr("has no tokenizer.json"));
}

TEST(ModelOpen, ChatTemplateJinjaOverridesTheTokenizerConfig) {
  const ModelFolder folder("top2_tied");
  folder.write("chat_template.jinja",
               "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>"
               "{% endfor %}<|assistant|>");
  folder.edit_json("tokenizer_config.json", [](Json& t) {
    t["bos_token"] = {{"content", "<B>"}, {"lstrip", false}};
  });
  auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  ASSERT_NE(model->chat_template(), nullptr);
  EXPECT_EQ(model->chat_template()->render({{"user", "x"}}), "<B><|user|>x<|end|><|assistant|>");
  folder.write("chat_template.jinja", "{% import 'framing' as framing %}");
  model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->chat_template(), nullptr);
  EXPECT_THAT(model->warnings().front(), HasSubstr("The chat template is not supported"));
  fs::remove(folder / "chat_template.jinja");
  folder.edit_json("tokenizer_config.json", [](Json& t) {
    t["chat_template"] = {{{"name", "tools"}, {"template", "x"}},
                          {{"name", "default"}, {"template", t["chat_template"]}}};
  });
  model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_NE(model->chat_template(), nullptr);
}

TEST(ModelOpen, ATokenizerConfigMayHoldWhatPythonWrites) {
  const ModelFolder folder("top2_tied");
  const auto text = testing::read_bytes(folder / "tokenizer_config.json");
  folder.write("tokenizer_config.json", R"({"model_max_length": Infinity, "name_or_path": "\ud83d",)" +
                                            text.substr(text.find('{') + 1));
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  EXPECT_NE(model->chat_template(), nullptr);
  EXPECT_THAT(model->warnings(), IsEmpty());
}

TEST(ModelFromMemory, HoldsWhatItWasGiven) {
  auto storage = std::make_shared<std::vector<float>>(8, 1.0f);
  ModelConfig config;
  config.vocab_size = 4;
  config.hidden_size = 2;
  Weights weights;
  weights.embed_tokens = weights.lm_head = Matrix{storage->data(), &weight_format(FormatId::f32), 4, 2};
  weights.norm = {1.0f, 1.0f};
  const std::weak_ptr<std::vector<float>> watch = storage;
  auto model = Model::from_memory(config, std::move(weights), std::move(storage));
  EXPECT_FALSE(watch.expired());
  EXPECT_TRUE(model->check_finite());
  EXPECT_EQ(model->tokenizer(), nullptr);
  model.reset();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace expertscope
