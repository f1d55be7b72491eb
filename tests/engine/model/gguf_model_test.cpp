// SPDX-License-Identifier: GPL-3.0-or-later
// A model from a GGUF file: its config, its tokenizer and its chat template, and what is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/formats/gguf.h"
#include "engine/model/config_reader.h"
#include "engine/model/model.h"
#include "engine/text/chat_template.h"
#include "engine/text/gguf_tokenizer.h"
#include "engine/text/tokenizer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelFolder;
using Ids = std::vector<std::int32_t>;
namespace fs = std::filesystem;

fs::path file(const char* name) {
  return testing::data_folder() / "gguf" / name;
}

std::shared_ptr<const Model> open(const fs::path& path) {
  const auto model = Model::open(path);
  if (!model) ADD_FAILURE() << model.error().message;
  return model ? *model : nullptr;
}

/// The metadata of f32.gguf, changed.
using Edit = std::function<void(Json& metadata)>;
Result<ParsedConfig> parsed(const Edit& edit) {
  auto model = open_gguf(file("f32.gguf"));
  EXPECT_TRUE(model);
  edit(model->metadata);
  return parse_gguf_config(model->metadata, model->source.tensors, "m.gguf");
}

std::string refusal(const Edit& edit) {
  const auto config = parsed(edit);
  EXPECT_FALSE(config);
  return config ? "" : config.error().message;
}

Edit set(const char* key, const Json& value) {
  return [=](Json& metadata) { metadata[key] = value; };
}

TEST(GgufModel, TakesItsConfigFromTheMetadataAndTheTensors) {
  const auto model = open(file("f32.gguf"));
  ASSERT_NE(model, nullptr);
  const ModelConfig& config = model->config();
  EXPECT_EQ(config.architecture, "Qwen3MoeForCausalLM");
  EXPECT_EQ(config.vocab_size, 640);
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.max_position_embeddings, 512);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(602));
  EXPECT_EQ(config.bos_token_id, 600);
  ASSERT_EQ(config.num_layers(), 2);
  const LayerSpec& layer = config.layer(1);
  EXPECT_EQ(layer.attention.heads, 2);
  EXPECT_EQ(layer.attention.kv_heads, 1);
  EXPECT_EQ(layer.attention.head_dim, 32);
  EXPECT_EQ(layer.attention.rotary.theta, 1e6);
  EXPECT_EQ(layer.attention.qk_norm, AttentionSpec::QkNorm::head);
  EXPECT_EQ(layer.router.experts, 4);
  EXPECT_EQ(layer.router.top_k, 2);
  EXPECT_TRUE(layer.router.renormalise) << "as llama.cpp does for every qwen3moe";
  EXPECT_EQ(layer.expert.width, 32);
  EXPECT_EQ(layer.norm.eps, 1e-6f);
  EXPECT_THAT(model->warnings(), IsEmpty());
}

TEST(GgufModel, SaysWhichFileItIs) {
  const auto model = open(file("f32.gguf"));
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->identity().name, "f32.gguf");
  EXPECT_EQ(model->identity().path, file("f32.gguf").string());
  EXPECT_EQ(model->identity().config_sha256.size(), 64u);
  EXPECT_NE(model->identity().config_sha256, open(file("bf16.gguf"))->identity().config_sha256);
  EXPECT_EQ(model->identity().tensor_count, 26);
  EXPECT_TRUE(model->check_finite());
}

TEST(GgufModel, LeavesQuantisedWeightsWhereTheyLie) {
  const auto model = open(file("q8_0.gguf"));
  ASSERT_NE(model, nullptr);
  EXPECT_THAT(model->result_warnings(), IsEmpty());
  const Matrix& head = model->weights().lm_head;
  EXPECT_EQ(head.format->name, "Q8_0");
  EXPECT_EQ(head.row_bytes(), 34u);
  EXPECT_EQ(model->weights().layers[0].router.format->name, "F32");
  const auto& experts = model->weights().layers[1].experts;
  EXPECT_EQ(static_cast<const std::uint8_t*>(experts[1].gate_proj.data) -
                static_cast<const std::uint8_t*>(experts[0].gate_proj.data),
            32 * 34)
      << "slices of one tensor";
}

TEST(GgufModel, KnowsWhenItsFileIsRewritten) {
  const ModelFolder folder;
  folder.write("m.gguf", testing::read_bytes(file("bf16.gguf")));
  const auto model = open(folder / "m.gguf");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->rewritten_weights(), "");
  fs::last_write_time(folder / "m.gguf", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_THAT(model->rewritten_weights(), HasSubstr("m.gguf changed while the model was in use"));
}

TEST(GgufModel, ReadsTextsAsTheTokenizerItCameFrom) {
  const auto model = open(file("f32.gguf"));
  ASSERT_NE(model, nullptr);
  ASSERT_NE(model->tokenizer(), nullptr);
  const auto original = Tokenizer::open(testing::data_folder() / "tokenizers/qwen2_like/tokenizer.json");
  ASSERT_TRUE(original);
  const Tokenizer& tokenizer = *model->tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), (*original)->vocab_size()) << "ids that only fill up are no tokens";
  for (const char* text : {"Routers pick 2 of 64 experts.\n\n  It's café 路由 \U0001f600",
                           "<|im_start|>user\nhello<|im_end|><think>x</think>", "e\u0301 \t\r\n 12345"}) {
    const auto ids = tokenizer.encode(text);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, *(*original)->encode(text)) << text;
    EXPECT_EQ(tokenizer.decode(*ids), (*original)->decode(*ids));
    EXPECT_EQ(tokenizer.decode(*ids, true), (*original)->decode(*ids, true));
  }
}

TEST(GgufModel, FramesConversationsWithItsOwnTemplate) {
  const auto model = open(file("f32.gguf"));
  ASSERT_NE(model, nullptr);
  ASSERT_NE(model->chat_template(), nullptr);
  EXPECT_EQ(*model->chat_template()->render({{"user", "hi"}}),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  const auto without = open(file("bf16.gguf"));
  ASSERT_NE(without, nullptr);
  EXPECT_EQ(without->tokenizer(), nullptr) << "ids run without it";
  EXPECT_THAT(without->require_tokenizer().error().message,
              HasSubstr("bf16.gguf: tokenizer.ggml.model: this field is missing"));
}

TEST(GgufModel, StopsAtEveryTokenThatEndsATurn) {
  const auto config = parsed([](Json& metadata) {
    metadata["tokenizer.ggml.eot_token_id"] = 601;
    metadata["tokenizer.ggml.eom_token_id"] = 602;
  });
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->config.eos_token_ids, ElementsAre(602, 601));
  EXPECT_THAT(refusal(set("tokenizer.ggml.eos_token_id", "x")),
              HasSubstr("m.gguf: tokenizer.ggml.eos_token_id"));
}

TEST(GgufModel, RefusesByNameWhatItDoesNotKnow) {
  EXPECT_THAT(
      refusal(set("general.architecture", "gemma3")),
      HasSubstr(
          "m.gguf: general.architecture: \"gemma3\" is not supported in GGUF files; supported: qwen3moe"));
  EXPECT_THAT(refusal(set("general.type", "adapter")), HasSubstr("general.type: the file holds no model"));
  EXPECT_THAT(refusal(set("qwen3moe.attention.sliding_window", 4096)),
              HasSubstr("m.gguf: qwen3moe.attention.sliding_window: 4096: this setting is not known"));
  EXPECT_THAT(refusal(set("qwen3moe.expert_gating_func", 2)),
              HasSubstr("qwen3moe.expert_gating_func: 2: this setting is not known"));
  EXPECT_TRUE(parsed(set("qwen3moe.expert_gating_func", 1)));
  EXPECT_THAT(refusal(set("qwen3moe.attention.value_length", 16)),
              HasSubstr("qwen3moe.attention.value_length: 16 is not supported"));
  EXPECT_THAT(refusal(set("qwen3moe.rope.dimension_count", 16)), HasSubstr("qwen3moe.rope.dimension_count"));
}

TEST(GgufModel, ErrorsNameTheKeysOfTheFile) {
  EXPECT_THAT(refusal([](Json& metadata) { metadata.erase("qwen3moe.embedding_length"); }),
              HasSubstr("m.gguf: qwen3moe.embedding_length: this field is missing"));
  EXPECT_THAT(refusal(set("qwen3moe.block_count", -1)), HasSubstr("m.gguf: qwen3moe.block_count: "));
  EXPECT_THAT(refusal(set("qwen3moe.expert_used_count", 5)),
              HasSubstr("qwen3moe.expert_used_count: 5 experts per token, but only 4 experts"));
  EXPECT_THAT(refusal(set("qwen3moe.attention.head_count_kv", Json::array({1, 1}))),
              HasSubstr("m.gguf: qwen3moe.attention.head_count_kv: "));
}

TEST(GgufModel, ReadsTheScalingOfRotaryEmbeddings) {
  const auto yarn = parsed([](Json& metadata) {
    metadata["qwen3moe.rope.scaling.type"] = "yarn";
    metadata["qwen3moe.rope.scaling.factor"] = 4.0;
    metadata["qwen3moe.rope.scaling.original_context_length"] = 128;
    metadata["qwen3moe.rope.scaling.yarn_beta_fast"] = 16.0;
    metadata["qwen3moe.rope.scaling.finetuned"] = true;
  });
  ASSERT_TRUE(yarn) << yarn.error().message;
  const RotarySpec& rotary = yarn->config.layer(0).attention.rotary;
  EXPECT_EQ(rotary.scaling, RotaryScaling::yarn);
  EXPECT_EQ(rotary.factor, 4.0);
  EXPECT_EQ(rotary.trained_positions, 128.0);
  EXPECT_EQ(rotary.beta_fast, 16.0);
  const auto none = parsed(set("qwen3moe.rope.scaling.type", "none"));
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_EQ(none->config.layer(0).attention.rotary.scaling, RotaryScaling::none);
  EXPECT_THAT(refusal([](Json& metadata) {
                metadata["qwen3moe.rope.scaling.type"] = "longrope";
                metadata["qwen3moe.rope.scaling.factor"] = 4.0;
              }),
              HasSubstr("m.gguf: qwen3moe.rope.scaling.type: \"longrope\" is not supported"));
}

TEST(GgufModel, RefusesVocabulariesThatItDoesNotRead) {
  const auto said = [](const char* key, const Json& value) {
    auto model = open_gguf(file("f32.gguf"));
    model->metadata[key] = value;
    const auto tokenizer = gguf_tokenizer(model->metadata, "m.gguf");
    return tokenizer ? "" : tokenizer.error().message;
  };
  EXPECT_THAT(said("tokenizer.ggml.model", "llama"),
              HasSubstr("m.gguf: tokenizer.ggml.model: \"llama\" is not supported, only \"gpt2\""));
  EXPECT_THAT(said("tokenizer.ggml.pre", "tekken"),
              HasSubstr("m.gguf: tokenizer.ggml.pre: \"tekken\" is not supported, only \"qwen2\" is"));
  EXPECT_THAT(said("tokenizer.ggml.token_type", Json::array({1})),
              HasSubstr("tokenizer.ggml.token_type: 1 types, but 640 tokens"));
  Json tokens = Json::array();
  for (int id = 0; id < 640; ++id)
    tokens.push_back(id == 7 ? Json(1) : Json(std::to_string(id)));
  EXPECT_THAT(said("tokenizer.ggml.tokens", tokens),
              HasSubstr("tokenizer.ggml.tokens: element 7 is no string"));
  tokens[7] = "6";
  EXPECT_THAT(said("tokenizer.ggml.tokens", tokens),
              HasSubstr("tokenizer.ggml.tokens: \"6\" is there twice"));
}

TEST(GgufModel, PutsBosAndEosAroundTextsWhereTheFileAsksForIt) {
  auto model = open_gguf(file("f32.gguf"));
  model->metadata["tokenizer.ggml.add_bos_token"] = true;
  model->metadata["tokenizer.ggml.add_eos_token"] = true;
  const auto json = gguf_tokenizer(model->metadata, "m.gguf");
  ASSERT_TRUE(json) << json.error().message;
  const auto tokenizer = Tokenizer::parse(*json, "m.gguf", {});
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const Ids ids = *(*tokenizer)->encode("x");
  EXPECT_EQ(ids.front(), 600);
  EXPECT_EQ(ids.back(), 602);
  EXPECT_THAT((*tokenizer)->leading_ids(), ElementsAre(600));
}

TEST(GgufModel, AFileThatOnlyCallsItselfGgufIsRefused) {
  const ModelFolder folder;
  folder.write("m.gguf", "no such thing");
  EXPECT_THAT(
      Model::open(folder / "m.gguf").error().message,
      HasSubstr("m.gguf: a model is a folder with config.json and safetensors files, or a GGUF file"));
  folder.write("m.gguf", "GGUF");
  EXPECT_THAT(Model::open(folder / "m.gguf").error().message, HasSubstr("the file ends before the version"));
}

}  // namespace
}  // namespace expertscope
