// SPDX-License-Identifier: GPL-3.0-or-later
// Damaged model files: every one must open or be refused with a message; under the sanitizers nothing else
// may happen.
#include <gtest/gtest.h>

#include "engine/formats/safetensors.h"
#include "engine/model/config_reader.h"
#include "engine/model/model.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "tests/fuzz/mutator.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using testing::Mutator;
using Json = nlohmann::json;

/// How many damaged files were refused; each refusal must say something.
struct Tally {
  int opened = 0;
  int refused = 0;
  template <class T>
  void count(const Result<T>& result) {
    ++(result ? opened : refused);
    EXPECT_TRUE(result || !result.error().message.empty());
  }
};

std::string model_file(const std::string& name) {
  return testing::read_bytes(testing::data_folder() / "models" / "top1" / name);
}

std::string tokenizer_file(const std::string& name) {
  return testing::read_bytes(testing::data_folder() / "tokenizers" / name / "tokenizer.json");
}

TEST(FuzzConfig, BytesAndValues) {
  const std::string text = model_file("config.json");
  const Json json = Json::parse(text);
  Mutator mutator(1);
  Tally tally;
  for (int i = 0; i < 2000; ++i) {
    tally.count(parse_config(mutator.bytes(text), "config.json"));
    tally.count(parse_config(mutator.json(json).dump(), "config.json"));
  }
  EXPECT_GT(tally.opened, 100);
  EXPECT_GT(tally.refused, 1000);
}

TEST(FuzzSafetensors, BytesAndValuesOfTheHeader) {
  const Json header = {{"__metadata__", {{"format", "pt"}}},
                       {"a", {{"dtype", "F32"}, {"shape", {2, 3}}, {"data_offsets", {0, 24}}}},
                       {"b", {{"dtype", "BF16"}, {"shape", {4}}, {"data_offsets", {24, 32}}}},
                       {"c", {{"dtype", "BOOL"}, {"shape", Json::array()}, {"data_offsets", {32, 33}}}}};
  const std::string data(33, 'd');
  const std::string file = testing::safetensors_bytes(header, data);
  Mutator mutator(2);
  Tally tally;
  const auto parse = [&](const std::string& bytes) {
    const auto entries =
        parse_safetensors(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), "m");
    tally.count(entries);
    std::uint64_t total = 0;
    if (entries)
      for (const auto& entry : *entries)
        total += entry.bytes;
    EXPECT_LE(total, bytes.size());
  };
  for (int i = 0; i < 2000; ++i) {
    parse(mutator.bytes(file));
    parse(testing::safetensors_bytes(mutator.json(header), data));
  }
  EXPECT_GT(tally.opened, 20);
  EXPECT_GT(tally.refused, 2000);
}

TEST(FuzzTokenizer, BytesAndValuesStillTokeniseOrAreRefused) {
  Mutator mutator(3);
  Tally tally;
  const std::string text = "Routers pick 2 of 64 experts <|im_end|>\n  café 路由 \xF0\x9F\x98\x80 <mask>  x";
  for (const char* name : {"qwen2_like", "gpt2_like", "llama3_like"}) {
    const std::string file = tokenizer_file(name);
    const Json json = Json::parse(file);
    Json parts = json;  // without the vocabulary, so that most changes hit something else
    parts.erase("model");
    for (int i = 0; i < 80; ++i) {
      Json changed = mutator.json(parts);
      if (changed.is_object() && !changed.contains("model")) changed["model"] = json["model"];
      const std::string sources[] = {mutator.bytes(file), mutator.json(json).dump(), changed.dump()};
      for (const auto& source : sources) {
        const auto tokenizer = Tokenizer::parse(source, "tokenizer.json");
        tally.count(tokenizer);
        if (!tokenizer) continue;
        const auto ids = (*tokenizer)->encode(text);
        if (ids) (void)(*tokenizer)->decode(*ids);
      }
    }
  }
  EXPECT_GT(tally.opened, 50);
  EXPECT_GT(tally.refused, 100);
}

TEST(FuzzTokenizer, ArbitraryBytesEncodeOrAreRefused) {
  const auto tokenizer = Tokenizer::parse(tokenizer_file("qwen2_like"), "tokenizer.json");
  ASSERT_TRUE(tokenizer);
  Mutator mutator(4);
  Tally tally;
  for (int i = 0; i < 500; ++i) {
    const std::string text = mutator.bytes("plain text, ütf-8 路由器 <|im_end|> <mask> e\xCC\x81");
    const auto ids = (*tokenizer)->encode(text);
    tally.count(ids);
    StreamDecoder stream(**tokenizer, false);
    std::string streamed;
    for (int j = 0; j < 20; ++j)
      streamed += stream.push(static_cast<std::int32_t>(mutator.below(700)) - 20);
    streamed += stream.finish();
    EXPECT_TRUE((*tokenizer)->encode(streamed)) << "a stream decoder gave invalid UTF-8";
  }
  EXPECT_GT(tally.opened, 50);
  EXPECT_GT(tally.refused, 50);
}

TEST(FuzzChatTemplate, BytesOfTheSource) {
  const auto data = Json::parse(testing::read_bytes(testing::data_folder() / "text" / "chat_templates.json"));
  Mutator mutator(5);
  Tally tally;
  for (const auto& row : data["templates"]) {
    const auto source = row["source"].get<std::string>();
    for (int i = 0; i < 300; ++i) {
      const auto chat = ChatTemplate::recognise(mutator.bytes(source), "<s>");
      tally.count(chat);
      if (chat) (void)(*chat)->render({{"user", "x"}, {"assistant", "<think>y</think>z"}, {"user", ""}});
    }
  }
  EXPECT_GT(tally.opened, 50);
  EXPECT_GT(tally.refused, 300);
}

TEST(FuzzModel, AFolderWithOneDamagedFile) {
  const std::string config = model_file("config.json");
  const std::string weights = model_file("model.safetensors");
  const testing::ModelFolder folder("top1");
  Mutator mutator(6);
  Tally tally;
  for (int i = 0; i < 150; ++i) {
    folder.write("config.json", mutator.json(Json::parse(config)).dump());
    tally.count(Model::open(folder.path()));
    folder.write("config.json", config);
    constexpr std::size_t kHead = 6000;  // the header and the first weights
    folder.write("model.safetensors", mutator.bytes(weights.substr(0, kHead)) + weights.substr(kHead));
    const auto model = Model::open(folder.path());
    tally.count(model);
    if (model) (void)(*model)->check_finite();
    folder.write("model.safetensors", weights);
  }
  EXPECT_GT(tally.opened, 10);
  EXPECT_GT(tally.refused, 100);
}

}  // namespace
}  // namespace expertscope
