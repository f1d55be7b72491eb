// SPDX-License-Identifier: GPL-3.0-or-later
// Where text comes from: --data and --prompt-file, files, pipes and standard input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kModel = "models/top8";
const std::string kLines = "{\"text\":\"One two three four five.\"}\n{\"text\":\"Six seven eight.\"}\n";

class CliData : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    write_file(scratch_ / name, text);
    return scratch_ / name;
  }
  std::vector<std::string> ppl(const std::string& data, const std::vector<std::string>& more = {"--json"}) {
    std::vector<std::string> call = {"ppl", data_path(kModel), "--data", data, "--ctx", "16"};
    call.insert(call.end(), more.begin(), more.end());
    return call;
  }
  std::vector<std::string> generate(const std::vector<std::string>& prompt) {
    std::vector<std::string> call = {"generate", data_path(kModel), "--max-tokens", "1", "--json"};
    call.insert(call.end(), prompt.begin(), prompt.end());
    return call;
  }
  void refused(const std::vector<std::string>& call, const ::testing::Matcher<std::string>& message,
               int exit_code = 1) {
    const ProcessResult result = run_cli(call);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, message);
  }

  TemporaryFolder scratch_;
};

TEST_F(CliData, TheResultSaysWhatWasRead) {
  const json lines = run_cli_json(ppl(file("d.JSONL", kLines)));
  EXPECT_EQ(lines["data"], "d.JSONL");
  EXPECT_EQ(lines["data_format"], "JSONL");
  EXPECT_EQ(lines["documents"], 2);
  EXPECT_EQ(lines["skipped_documents"], 0);
  const json array = run_cli_json(
      ppl(file("d.json", "[{\"text\":\"One two three four five.\"},\n{\"text\":\"Six seven eight.\"}]")));
  EXPECT_EQ(array["data_format"], "JSON");
  EXPECT_EQ(array["text_sha256"], lines["text_sha256"]);
  EXPECT_THAT(run_cli(ppl(file("d.txt", "One two three four five."), {})).out,
              HasSubstr("data: d.txt (text, 1 document)\n"));
  const json profile = run_cli_json(
      {"profile", data_path(kModel), "--data", scratch_ / "d.JSONL", "--trace", scratch_ / "t.db", "--json"});
  EXPECT_EQ(profile["data_format"], "JSONL");
  EXPECT_EQ(profile["documents"], 2);
  EXPECT_THAT(
      run_cli({"profile", data_path(kModel), "--data", scratch_ / "d.JSONL", "--trace", scratch_ / "t.db"})
          .out,
      HasSubstr("data: d.JSONL (JSONL, 2 documents)\n"));
}

TEST_F(CliData, BadLinesAreRefusedWithAWayOutOrLeftOutAndCounted) {
  const std::string data = file("d.jsonl", kLines + "{\"text\":\"\\ud83d\"}\n");
  refused(ppl(data), AllOf(HasSubstr("d.jsonl, line 3, column 16: not valid JSON: a lone surrogate"),
                           HasSubstr("; --skip-bad-lines leaves out what cannot be read")));
  const json left = run_cli_json(ppl(data, {"--skip-bad-lines", "--json"}));
  EXPECT_EQ(left["documents"], 2);
  EXPECT_EQ(left["skipped_documents"], 1);
  const ProcessResult profile = run_cli(
      {"profile", data_path(kModel), "--data", data, "--trace", scratch_ / "t.db", "--skip-bad-lines"});
  EXPECT_EQ(profile.exit_code, 0) << profile.err;
  EXPECT_THAT(profile.err, HasSubstr("note: d.jsonl (JSONL, 2 documents, 1 left out); the first left out: "));
  EXPECT_THAT(profile.out, HasSubstr("data: d.jsonl (JSONL, 2 documents, 1 left out)"));
  EXPECT_EQ(run_cli_json({"info", scratch_ / "t.db", "--json"})["runs"][0]["dataset"],
            "d.jsonl (JSONL, 2 documents, 1 left out)");
}

TEST_F(CliData, StandardInputAndPipesAreDataAndPrompts) {
  const std::string data = file("d.jsonl", kLines);
  const json reference = run_cli_json(ppl(data));
  for (const char* name : {"-", "/dev/stdin"}) {
    const ProcessResult result = run_cli(ppl(name), {}, data);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json read = json::parse(result.out);
    EXPECT_EQ(read["text_sha256"], reference["text_sha256"]);
    EXPECT_EQ(read["data"], "standard input");
    EXPECT_EQ(read["data_format"], "JSONL");
    const ProcessResult prompt = run_cli(generate({"--prompt-file", name}), {}, file("p.txt", "Hello\n"));
    ASSERT_EQ(prompt.exit_code, 0) << prompt.err;
    EXPECT_EQ(json::parse(prompt.out)["prompt"], "Hello\n");
  }
  const std::string pipe = scratch_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto through_pipe = [&](const std::vector<std::string>& call, const std::string& input) {
    std::thread writer([&] { write_file(pipe, kLines); });
    const ProcessResult result = run_cli(call, {}, input);
    writer.join();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out, nullptr, false);
  };
  EXPECT_EQ(through_pipe(ppl(pipe), "/dev/null")["text_sha256"], reference["text_sha256"]);
  EXPECT_EQ(through_pipe(ppl("-"), pipe)["text_sha256"], reference["text_sha256"]);
  EXPECT_EQ(through_pipe(generate({"--prompt-file", pipe}), "/dev/null")["prompt"], kLines);
  refused(ppl("-"), HasSubstr("standard input: the file is empty"));
}

TEST_F(CliData, APromptFileIsReadAsDataIs) {
  const std::string text = file("p.txt", "\xEF\xBB\xBFHello expert\n");
  EXPECT_EQ(run_cli_json(generate({"--prompt-file", text}))["prompt"], "Hello expert\n");
  refused(generate({"--prompt-file", scratch_.path().string()}), HasSubstr("this is a folder"));
  refused(ppl(scratch_.path().string()), HasSubstr("this is a folder"));
  refused(generate({"--prompt-file", "/dev/zero"}), HasSubstr("/dev/zero: more than 16000000 bytes"));
  refused(generate({"--prompt-file", file("z", "\x1F\x8B\x08zzzzz")}), HasSubstr("compressed with gzip"));
  refused(generate({"--prompt-file", ""}), HasSubstr("--prompt-file"), 2);
}

TEST_F(CliData, AnEmptySystemMessageIsAMessage) {
  std::filesystem::copy(data_path(kModel), scratch_.path() / "model");
  const std::string model = scratch_ / "model";
  write_file(model + "/chat_template.jinja",
             "{% if messages[0].role != 'system' %}<|im_start|>system\nusual<|im_end|>\n{% endif %}"
             "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
             "{{ '<|im_start|>assistant\\n' }}");
  const auto prompt = [&](std::vector<std::string> more) {
    std::vector<std::string> call = {"generate", model,    "--max-tokens", "1",
                                     "--json",   "--chat", "--prompt",     "x"};
    call.insert(call.end(), more.begin(), more.end());
    return run_cli_json(call)["prompt"].get<std::string>();
  };
  EXPECT_THAT(prompt({}), HasSubstr("system\nusual<|im_end|>"));
  EXPECT_THAT(prompt({"--system", ""}), AllOf(HasSubstr("system\n<|im_end|>"), Not(HasSubstr("usual"))));
  EXPECT_THAT(prompt({"--system", "own"}), HasSubstr("system\nown<|im_end|>"));
}

TEST_F(CliData, ATokenizerThatIsNotSupportedIsNotAMissingOne) {
  std::filesystem::copy(data_path(kModel), scratch_.path() / "model");
  const std::string model = scratch_ / "model";
  json tokenizer = json::parse(read_file(model + "/tokenizer.json"));
  tokenizer["model"]["type"] = "WordPiece";
  write_file(model + "/tokenizer.json", tokenizer.dump());
  const std::string data = file("d.txt", "text");
  const auto reason =
      AllOf(HasSubstr("tokenizer.json: model.type: \"WordPiece\""), Not(HasSubstr("no tokenizer.json")));
  refused({"tokenize", model, "--text", "a"}, reason);
  refused({"generate", model, "--prompt", "a"}, AllOf(reason, HasSubstr("--ids")));
  refused({"ppl", model, "--data", data}, reason);
  refused({"profile", model, "--data", data, "--trace", scratch_ / "t.db"}, reason);
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "t.db"));
  write_file(model + "/tokenizer.json", read_file(data_path(kModel) + "/tokenizer.json"));
  write_file(model + "/chat_template.jinja", "{% import 'x' as y %}");
  refused({"generate", model, "--prompt", "a", "--chat"},
          AllOf(HasSubstr("the tag \"import\" is not understood"), HasSubstr("without --chat")));
}

}  // namespace
}  // namespace expertscope::testing
