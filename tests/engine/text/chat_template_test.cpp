// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/text/fourth_of_july.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

std::vector<ChatMessage> messages_of(const Json& json) {
  std::vector<ChatMessage> messages;
  for (const auto& m : json)
    messages.push_back({m["role"].get<std::string>(), m["content"].get<std::string>()});
  return messages;
}

Json golden() {
  return Json::parse(testing::read_bytes(testing::data_folder() / "text" / "chat_templates.json"));
}

TEST(ChatTemplate, RendersAsTransformersDoes) {
  const auto data = golden();
  for (const auto& row : data["templates"]) {
    const auto chat =
        ChatTemplate::open(row["source"].get<std::string>(), data["bos_token"].get<std::string>(),
                           data["eos_token"].get<std::string>());
    ASSERT_TRUE(chat) << row["name"] << chat.error().message;
    for (const auto& example : row["chats"]) {
      const auto text = (*chat)->render(messages_of(example["messages"]));
      ASSERT_EQ(text.has_value(), example.contains("text")) << row["name"] << example["messages"];
      if (text) {
        EXPECT_EQ(*text, example["text"].get<std::string>()) << row["name"] << example["messages"];
      } else {
        EXPECT_THAT(text.error().message, HasSubstr(example["refused"].get<std::string>()));
      }
    }
  }
}

TEST(ChatTemplate, WritesTheDateAsPythonDoes) {
  const auto rendered = [](const std::string& source) {
    const auto chat = ChatTemplate::open(source, {}, {}, testing::fourth_of_july);
    if (!chat) return chat.error().message;
    return *(*chat)->render({{"user", "x"}});
  };
  EXPECT_EQ(rendered("Current date: {{ strftime_now(\"%Y-%m-%d\") }}"), "Current date: 2026-07-04");
  EXPECT_EQ(rendered("{{ strftime_now(format='%d %b %Y, %A %H:%M:%S %j %%') }}"),
            "04 Jul 2026, Saturday 09:05:03 185 %");
  EXPECT_EQ(rendered("{{ strftime_now('') ~ strftime_now('|') }}"), "|");
  EXPECT_THAT(rendered("{{ strftime_now() }}"), HasSubstr("strftime_now() needs more arguments"));
  EXPECT_THAT(rendered("{{ strftime_now(7) }}"), HasSubstr("a format that is no short text"));
  EXPECT_THAT(rendered("{{ strftime_now('%4000d') }}"), HasSubstr("a format of which nothing comes"));
}

TEST(ChatTemplate, RendersTheChatsOfTheTestTokenizer) {
  const auto tokenizer = testing::data_folder() / "tokenizers";
  const auto config = Json::parse(testing::read_bytes(tokenizer / "qwen2_like" / "tokenizer_config.json"));
  const auto chat = ChatTemplate::open(config["chat_template"].get<std::string>());
  ASSERT_TRUE(chat) << chat.error().message;
  int checked = 0;
  const auto chats = Json::parse(testing::read_bytes(tokenizer / "chat.json"));
  for (const auto& row : chats) {
    if (row["tokenizer"] != "qwen2_like" || !row["add_generation_prompt"].get<bool>()) continue;
    EXPECT_EQ((*chat)->render(messages_of(row["messages"])).value(), row["text"].get<std::string>());
    ++checked;
  }
  EXPECT_EQ(checked, 3);
}

TEST(ChatTemplate, SaysWhatItDoesNotUnderstand) {
  const auto reason = [](std::string_view source) {
    const auto chat = ChatTemplate::open(source);
    return chat ? "" : chat.error().message;
  };
  EXPECT_THAT(reason("{% import 'x' as y %}"), HasSubstr("(line 1: the tag \"import\" is not understood)"));
  EXPECT_THAT(reason("\n\n{{ messages | groupby('role') }}"), HasSubstr("line 3: the filter groupby"));
  EXPECT_THAT(reason("{{ messages[0].content.center(9) }}"), HasSubstr("the method center()"));
  EXPECT_THAT(reason("{{ strftime_then('%d') }}"), HasSubstr("the function strftime_then()"));
  EXPECT_THAT(reason("{% if messages %}"), HasSubstr("a block that does not end"));
  EXPECT_THAT(reason("{{ raise_exception('no chat today') }}"), HasSubstr("no chat today"));
  EXPECT_THAT(reason("{{ 1 if 2 < 3 < 4 }}"), HasSubstr("a chain of comparisons is not understood"));
}

TEST(ChatTemplate, ARefusedConversationKeepsItsReason) {
  const std::string source =
      "{% for m in messages %}{% if m.content == 'five' %}{{ raise_exception('five is too many') }}{% endif "
      "%}"
      "{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}{{ '<|assistant|>' }}";
  const auto chat = ChatTemplate::open(source);
  ASSERT_TRUE(chat) << chat.error().message;
  EXPECT_EQ((*chat)->render({{"user", "four"}}).value(), "<|user|>four<|end|><|assistant|>");
  const auto refused = (*chat)->render({{"user", "five"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_EQ(refused.error().message, "the chat template refuses this conversation: five is too many");
  const auto long_text = (*chat)->render({{"user", std::string(17u << 20, 'x')}});
  ASSERT_FALSE(long_text);
  EXPECT_EQ(long_text.error().message,
            "the chat template refuses this conversation: a string grows too long");
}

TEST(ChatTemplate, ALongConversationIsFarFromTheLimits) {
  const auto data = golden();
  std::vector<ChatMessage> messages;
  for (int i = 0; i < 500; ++i) {
    messages.push_back({"user", std::string(1000, 'q')});
    messages.push_back(
        {"assistant", "<think>" + std::string(500, 't') + "</think>" + std::string(1000, 'a')});
  }
  messages.push_back({"user", "last"});
  for (const auto& row : data["templates"]) {
    const auto chat = ChatTemplate::open(row["source"].get<std::string>(), "<s>", "</s>");
    ASSERT_TRUE(chat) << chat.error().message;
    const auto text = (*chat)->render(messages);
    EXPECT_TRUE(text) << row["name"] << text.error().message;
  }
}

TEST(ChatTemplate, AHostileTemplateEndsInAnErrorNotInAHang) {
  const auto refused = [](const std::string& source) { return !ChatTemplate::open(source); };
  EXPECT_TRUE(
      refused("{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}"));
  EXPECT_TRUE(refused(
      "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"));
  EXPECT_TRUE(refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"));
  EXPECT_TRUE(
      refused("{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}"));
  EXPECT_TRUE(refused(
      "{% set ns = namespace(x='a' , l=[]) %}{% for i in range(22) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
      "{% for i in range(999) %}{% set ns.l = ns.l + [ns.x | upper] %}{% endfor %}"));
  std::string deep = "{{ ";
  deep.append(100'000, '(');
  EXPECT_TRUE(refused(deep));
  std::string blocks;
  for (int i = 0; i < 10'000; ++i)
    blocks += "{% if true %}";
  EXPECT_TRUE(refused(blocks));
  EXPECT_TRUE(refused("{{ " + std::string(100'000, '-') + "1 }}"));
  EXPECT_TRUE(refused("{{ 9999999999999 }}"));
  EXPECT_TRUE(refused("{{ 7 // 0 }}{{ 7 % 0 }}"));
}

TEST(ChatTemplate, NamespacesMayHoldEachOtherAndThemselves) {
  const auto text = [](const std::string& source) {
    const auto chat = ChatTemplate::open(source);
    return chat ? (*chat)->render({{"user", "x"}}).value() : chat.error().message;
  };
  EXPECT_EQ(text("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns == ns }}"), "True");
  EXPECT_EQ(text("{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = namespace(x=ns.x) %}"
                 "{% endfor %}end"),
            "end");
}

}  // namespace
}  // namespace expertscope
