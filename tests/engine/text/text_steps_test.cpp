// SPDX-License-Identifier: GPL-3.0-or-later
// Twice the text is at most twice the work, in every parser of text that a person can be given. Work is
// counted in basic blocks: the sources of the parsers are compiled once more, with a call in each of them.
#include <gtest/gtest.h>

#include <functional>

#include "engine/text/chat_template.h"
#include "engine/text/dataset.h"
#include "engine/text/jinja/parser.h"
#include "engine/text/tokenizer.h"
#include "tests/support/model_folder.h"
#include "tests/support/steps.h"

namespace expertscope {
namespace {

std::string repeat(std::string_view text, std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i)
    all += text;
  return all;
}

/// `part` with every # as a number that counts up, `count` times, with `between` between them.
std::string numbered(std::string_view part, std::size_t count, std::string_view between) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) all += between;
    for (const char c : part)
      all += c == '#' ? std::to_string(1'000'000 + i) : std::string(1, c);
  }
  return all;
}

class TextSteps : public ::testing::Test {
 protected:
  using Make = std::function<std::string(std::size_t size)>;
  using Parse = std::function<void(const std::string& text)>;

  /// Maps grow by a logarithm and double at once, hence an eighth more.
  static void expect_linear(const char* name, std::size_t size, const Make& make, const Parse& parse) {
    const auto count = [&](const std::string& text) { return testing::steps_of([&] { parse(text); }); };
    const auto once = count(make(size));
    const auto twice = count(make(2 * size));
    EXPECT_GT(once, 1000u) << name << ": nothing was counted";
    EXPECT_LE(twice, 2 * once + once / 4) << name;
  }

  void dataset(const char* file, std::size_t size, const Make& make) {
    expect_linear(file, size, make, [&](const std::string& text) {
      folder_.write(file, text);
      (void)Dataset::open(folder_ / file, {true, {}});
    });
  }

  static void tokenizer(const char* name, std::size_t size, const Make& parts) {
    expect_linear(name, size, parts, [](const std::string& text) { (void)Tokenizer::parse(text, "t.json"); });
  }

  static void jinja(const char* name, std::size_t size, const Make& make) {
    expect_linear(name, size, make, [](const std::string& text) { (void)jinja::parse(text); });
  }

  testing::ModelFolder folder_;
};

TEST_F(TextSteps, OfDataSets) {
  dataset("short.jsonl", 2000, [](auto n) { return numbered("{\"text\":\"a#\"}\n", n, ""); });
  dataset("bad.jsonl", 2000, [](auto n) { return "{\"text\":\"\"}\n" + repeat("{\"text\":NaN}\n", n); });
  dataset("long.jsonl", 50'000, [](auto n) { return "{\"text\":\"" + repeat("\\n", n) + "\"}"; });
  dataset("blank.jsonl", 50'000, [](auto n) { return repeat(" \n", n) + "{\"text\":\"\"}"; });
  dataset("deep.jsonl", 50'000, [](auto n) { return "{\"text\":\"\",\"x\":" + repeat("[", n); });
  dataset("keys.jsonl", 5000, [](auto n) { return "{" + repeat("\"text\":\"\",", n) + "\"text\":\"\"}"; });
  dataset("array.json", 2000, [](auto n) { return "[" + numbered("{\"text\":\"a#\"}", n, ",\n") + "]"; });
  dataset("deep.json", 50'000, [](auto n) { return "[{\"text\":\"\"}," + repeat("[", n); });
  dataset("open.json", 50'000, [](auto n) { return "[{\"text\":\"\"},\"" + repeat("\\\"", n); });
  dataset("lines.json", 5000, [](auto n) { return "{\n" + repeat("\"text\":\"\",\n", n) + "\"x\":1}"; });
  dataset("prose.txt", 50'000, [](auto n) { return "{" + repeat("\xC3\xA9\n", n); });
  dataset("array.txt", 50'000, [](auto n) { return repeat("[", n); });
  dataset("not_utf8.txt", 50'000, [](auto n) { return repeat("a\n", n) + "\xFF"; });
}

const std::string kRest =
    R"(,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":false},"decoder":{"type":"ByteLevel"}})";

TEST_F(TextSteps, OfTokenizers) {
  const auto with = [](const std::string& model, const std::string& added) {
    return "{\"model\":{\"type\":\"BPE\"," + model + "},\"added_tokens\":[" + added + "]" + kRest;
  };
  const std::string empty = "\"vocab\":{},\"merges\":[]";
  tokenizer("vocabulary", 4000, [&](auto n) {
    return with("\"merges\":[],\"vocab\":{" + numbered("\"a#\":#", n, ",") + "}", "");
  });
  tokenizer("merges", 4000, [&](auto n) {
    return with("\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[" + numbered("[\"a\",\"a\"]", n, ",") + "]", "");
  });
  for (const char* flags : {R"("normalized":true)", R"("normalized":false,"special":true)"})
    tokenizer(flags, 2000, [&](auto n) {
      return with(empty, numbered(R"({"id":#,"content":"<#>",)" + std::string(flags) + "}", n, ","));
    });
  tokenizer("the same token", 2000, [&](auto n) {
    return with(empty, repeat(R"({"id":1,"content":"<x>"},)", n) + R"({"id":1,"content":"y"})");
  });
  tokenizer("a long token", 50'000,
            [&](auto n) { return with(empty, R"({"id":1,"content":")" + repeat("x", n) + "\"}"); });
  tokenizer("too deep", 100'000, [](auto n) { return "{\"x\":" + repeat("[", n); });
  tokenizer("an element of a wrong type", 100'000,
            [&](auto n) { return with(empty, "[" + repeat("1,", n) + "1]"); });
}

TEST_F(TextSteps, OfWhatStandsBesideATokenizer) {
  folder_.write("tokenizer.json", R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[]})" + kRest);
  const auto config = [&](const char* name, const Make& make) {
    expect_linear(name, 2000, make, [&](const std::string& text) {
      folder_.write("tokenizer_config.json", text);
      (void)Tokenizer::open(folder_ / "tokenizer.json");
    });
  };
  config("decoder", [](auto n) {
    return "{\"added_tokens_decoder\":{" + numbered(R"("#":{"content":"<#>"})", n, ",") + "}}";
  });
  config("named", [](auto n) { return "{" + numbered(R"("#_token":"<#>")", n, ",") + "}"; });
  config("named and in the decoder", [](auto n) {
    return "{" + numbered(R"("#_token":"<#>",)", n, "") + "\"added_tokens_decoder\":{" +
           numbered(R"("#":{"content":"<#>"})", n, ",") + "}}";
  });
  config("extra", [](auto n) { return "{\"extra_special_tokens\":[" + numbered("\"<#>\"", n, ",") + "]}"; });
}

TEST_F(TextSteps, AreFewAfterAStopInEveryPhaseOfOpening) {
  constexpr std::size_t kSize = 400;
  std::string vocabulary = R"("a":0,"aa":1)";
  for (std::size_t i = 2; i < kSize; ++i)
    vocabulary += fmt::format(R"(,"a{}":{})", i, i);
  folder_.write("tokenizer.json",
                R"({"x":")" + repeat("x", 400'000) +
                    R"(","model":{"type":"BPE","ignore_merges":true,"vocab":{)" + vocabulary +
                    "},\"merges\":[" + numbered("[\"a\",\"a\"]", kSize, ",") + "]},\"added_tokens\":[" +
                    numbered(R"({"id":#,"content":"<#>","normalized":false})", kSize, ",") + "," +
                    numbered(R"({"id":#,"content":"[#]","normalized":true})", kSize, ",") + "]" + kRest);
  folder_.write("tokenizer_config.json", "{\"extra_special_tokens\":[" + numbered("\"{#}\"", kSize, ",") +
                                             "]," + numbered(R"("#_token":"|#|")", kSize, ",") + "}");
  folder_.write("special_tokens_map.json", "{" + numbered(R"("#_token":"/#/")", kSize, ",") + "}");
  folder_.write("added_tokens.json", "{" + numbered("\"(#)\":#", kSize, ",") + "}");
  const auto open = [&](const std::stop_token& stop) {
    return Tokenizer::open(folder_ / "tokenizer.json", stop);
  };
  const auto all = testing::steps_of([&] { ASSERT_TRUE(open({})); });
  constexpr std::uint64_t kParts = 24;
  for (std::uint64_t part = 0; part < kParts - 2; ++part) {  // at the end there is nothing left to stop
    std::stop_source stop;
    ErrorCode code{};
    const auto left = testing::steps_after(
        1 + all * part / kParts, [&] { stop.request_stop(); },
        [&] {
          const auto opened = open(stop.get_token());
          if (!opened) code = opened.error().code;
        });
    EXPECT_EQ(code, ErrorCode::cancelled) << part;
    EXPECT_LE(left, all / 6) << part << " of " << kParts;
  }
}

TEST_F(TextSteps, OfChatTemplates) {
  for (const char* part : {"{{ a }}",
                           "{% set a = 1 %}",
                           "{%- set a = 1 -%}\n  ",
                           "{# a #}",
                           "text\n",
                           "  \n  {%- set a = 'b' %}",
                           "{% if a %}b{% else %}c{% endif %}",
                           "{% for a in b %}c{% endfor %}",
                           "{% macro a() %}b{% endmacro %}",
                           "{{ a[0].b('c', d) | trim }}",
                           "{{ 'a' ~ \"b\" }}",
                           "{{ [1, 2, [3]] }}",
                           "{{ '\\n' }}",
                           "{",
                           "{{",
                           "{%",
                           "{#",
                           "{{ '",
                           "{{ (",
                           "\\",
                           "\r\n"})
    jinja(part, 2000, [&](auto n) { return repeat(part, n); });
  jinja("elif", 2000, [](auto n) { return "{% if a %}" + repeat("{% elif b %}", n) + "{% endif %}"; });
  jinja("list", 20'000, [](auto n) { return "{{ [" + repeat("1,", n) + "1] }}"; });
  jinja("string", 50'000, [](auto n) { return "{{ '" + repeat("\\'", n) + "' }}"; });
  jinja("blanks", 50'000, [](auto n) { return "{{ a" + repeat(" \n", n) + "}}"; });
  jinja("blocks", 20'000, [](auto n) { return repeat("{% if a %}", n) + repeat("{% endif %}", n); });
  jinja("operators", 20'000, [](auto n) { return "{{ a" + repeat("+a", n) + " }}"; });
  jinja("parentheses", 20'000, [](auto n) { return "{{ " + repeat("(", n) + "a" + repeat(")", n) + " }}"; });
}

TEST_F(TextSteps, OfARenderedConversation) {
  const auto chat = ChatTemplate::open(
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content | trim + '<|im_end|>\n' }}{% "
      "endfor %}"
      "{{ '<|im_start|>assistant\n' }}");
  ASSERT_TRUE(chat) << chat.error().message;
  expect_linear(
      "messages", 1000, [](auto n) { return std::string(n, 'x'); },
      [&](const std::string& text) {
        std::vector<ChatMessage> messages;
        for (const char c : text)
          messages.push_back({"user", std::string(1, c)});
        EXPECT_TRUE((*chat)->render(messages));
      });
}

}  // namespace
}  // namespace expertscope
